// Package smtpsink is a mail server for demos and tests: a real SMTP listener that keeps every mail it accepts as a file and delivers none.
//
//	sink, err := smtpsink.Start(smtpsink.Config{Dir: "mailbox", Faults: smtpsink.Faults{First: 10}})
//	defer sink.Close()
//	... send mail to sink.Addr() ...
//	fmt.Println(len(sink.Mails()), sink.Refused())
//
// Its faults are answers that real servers give: a temporary refusal of the first mails, or of all mails for a while, and a permanent
// refusal of some recipients. It knows neither TLS nor passwords, so it belongs on the loopback address, which is its default.
package smtpsink
