package smtpsink

import (
	"io"
	"time"

	"github.com/emersion/go-smtp"
)

// session is one connection's conversation; the server calls its methods one after the other.
type session struct {
	sink *Sink
	from string
	to   []string
}

// Mail begins a mail, or refuses it for a while.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if refusal := s.sink.attempt(); refusal != nil {
		s.sink.config.Logger.Info("mail refused for now", "from", from, "code", refusal.Code)
		return refusal
	}
	s.from, s.to = from, nil
	return nil
}

// Rcpt adds a recipient, or refuses it for good.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if refusal := s.sink.config.Faults.permanent(to); refusal != nil {
		s.sink.config.Logger.Info("mail refused for good", "to", to, "code", refusal.Code)
		return refusal
	}
	s.to = append(s.to, to)
	return nil
}

// Data keeps the mail. It is on file before the sender learns that it is accepted.
func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.sink.keep(Mail{From: s.from, To: s.to, MessageID: messageID(data), At: time.Now()}, data)
}

// Reset forgets the current mail.
func (s *session) Reset() {
	s.from, s.to = "", nil
}

// Logout has nothing to release.
func (s *session) Logout() error {
	return nil
}
