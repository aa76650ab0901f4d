// Package devserver gives demos and tests a private, throwaway RabbitMQ.
//
// [Start] takes the first of these that is possible, and says in one line which it was:
//
//  1. the server that the environment variable AMQP_URL names, used as it is and never stopped;
//  2. a container, where a Docker engine answers and has, or can get, the image: that of
//     [Options.Image], of ERRAND_RABBITMQ_IMAGE, or rabbitmq:4-management;
//  3. the rabbitmq-server installed on this machine, as a node of its own: own data, name,
//     cookie, user and ports, all on the loopback interface. The system's node, if it runs,
//     is not touched.
//
// What was started is gone after [Server.Stop], and also when the process that started it
// was killed.
//
// A package's tests share one server, and each test has a vhost of its own:
//
//	var rabbit = devserver.NewShared(devserver.Options{})
//
//	func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		conn, err := broker.Dial(t.Context(), rabbit.URL(t), broker.Config{})
//		…
//	}
//
// The server starts with the first test that asks for it. Where none can be had the test
// fails, or is skipped in short mode.
//
// It is not for production: nothing about it is tuned, replicated or kept.
package devserver
