// Package producer sends jobs.
//
//	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
//	if err != nil {
//		return err
//	}
//	defer conn.Close()
//	p := producer.New(conn, producer.Config{})
//	err = p.Enqueue(ctx, RenderPDF.New(Render{OrderID: "42"}))
//
// When Enqueue has returned nil, RabbitMQ holds the job, on disk, and it will be worked or
// put aside where a person finds it. The queue is declared at the first job for it, so a
// producer may start before any worker.
package producer
