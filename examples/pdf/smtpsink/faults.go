package smtpsink

import (
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
)

// Faults says what a sink refuses. The zero value refuses nothing. First and For add up: a mail is accepted when neither refuses it.
type Faults struct {
	// First is the number of mails to refuse temporarily, counted from the sink's start over all connections.
	First int
	// For is how long, from the sink's start, every mail is refused temporarily.
	For time.Duration
	// Code is the answer to a mail that is refused temporarily, 400 to 499. Defaults to 451.
	Code int
	// Reject holds the recipients that are refused for good (550), as if they had no mailbox.
	Reject []string
}

func (f Faults) check() error {
	if f.First < 0 || f.For < 0 {
		return fmt.Errorf("smtpsink: start: faults of %d mails and %s: want none or more", f.First, f.For)
	}
	if f.Code != 0 && (f.Code < 400 || f.Code > 499) {
		return fmt.Errorf("smtpsink: start: fault code %d: a temporary refusal is 400 to 499", f.Code)
	}
	return nil
}

// temporary returns the refusal of the attempt-th mail (from 1) at an age of the sink, or nil to accept it.
func (f Faults) temporary(attempt int, age time.Duration) *smtp.SMTPError {
	if attempt > f.First && age >= f.For {
		return nil
	}
	refusal := smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Service unavailable, try again later"}
	if f.Code != 0 {
		refusal.Code = f.Code
	}
	return &refusal
}

// permanent returns the refusal of a recipient, or nil to accept it.
func (f Faults) permanent(to string) *smtp.SMTPError {
	if !slices.Contains(f.Reject, to) {
		return nil
	}
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox here"}
}
