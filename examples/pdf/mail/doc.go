// Package mail sends a letter with an attachment to an SMTP server, and says with its error whether trying again can help.
//
//	sender, err := mail.NewSender("smtp://user:password@mail.example.com:587", "shop@example.com")
//	err = sender.Send(ctx, mail.Letter{To: "ada@example.com", Subject: "Your invoice", Text: "…", Attachment: "invoices/42.pdf"})
//
// A refusal of the letter for good (SMTP 5xx) and an address that no server could take are retry.Permanent. Everything else is a plain
// error, which a job's retry policy answers: a refusal for now (4xx), an outage, a time limit, and also a rejected password, because
// that is cured in the worker's configuration and not by throwing the letters away.
package mail
