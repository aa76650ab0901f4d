// Package job says what a job is: a kind, typed arguments, and when and where it is to run.
//
// A [Kind] ties a name to a type and is shared by the programs that enqueue and those that
// work:
//
//	type Render struct {
//		OrderID string `json:"order_id"`
//	}
//
//	var RenderPDF = job.Define[Render]("pdf.render", job.Queue("pdf"))
//
// [Kind.New] makes a [Job], a plain value that can be passed around, stored and compared in
// tests. An [Enqueuer], such as a producer.Producer, sends it. [Job.Message] and [Parse]
// turn jobs into messages and back; the form is described in docs/explanation/wire.md.
package job
