// Package jobs holds what the example's producer and worker have to agree on: the kinds of jobs and their arguments.
package jobs

import (
	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/errandq/errand/job"
)

// Render makes an order's PDF invoice and stores it.
var Render = job.Define[invoice.Order]("pdf.render", job.Queue("pdf"))

// Mail sends a stored invoice to its customer. It has a queue of its own, so that a mail server that is slow or down holds up no PDF.
var Mail = job.Define[Letter]("mail.send", job.Queue("mail"))

// Letter says which invoice to mail, and to whom.
type Letter struct {
	OrderID string `json:"order_id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
}

// MailInvoice is the job that follows when an order's PDF is stored. Its ID depends on the order alone: a rendering that runs twice asks
// for the same letter twice, and the ID is what shows it.
func MailInvoice(order invoice.Order) job.Job {
	letter := Letter{OrderID: order.ID, Name: order.Customer.Name, Email: order.Customer.Email}
	return Mail.New(letter, job.ID("mail-"+order.ID))
}
