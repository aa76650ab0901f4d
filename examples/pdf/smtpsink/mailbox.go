package smtpsink

import (
	"bytes"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Mail is one accepted mail.
type Mail struct {
	From      string
	To        []string
	MessageID string // the Message-ID header without its angle brackets; a mail that was sent twice has the same one twice
	File      string // the .eml file; empty if the sink has no directory
	At        time.Time
}

// Mails returns the accepted mails in the order of their arrival.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Refused is the number of mails that the sink has refused temporarily so far.
func (s *Sink) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// attempt counts an attempt to send a mail and returns its refusal, or nil to accept it.
func (s *Sink) attempt() *smtp.SMTPError {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	refusal := s.config.Faults.temporary(s.attempts, time.Since(s.started))
	if refusal != nil {
		s.refused++
	}
	return refusal
}

// keep writes an accepted mail to its file and remembers it.
func (s *Sink) keep(m Mail, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Shutting down"}
	}
	if s.config.Dir != "" {
		// The start time keeps apart the files of several sinks that use the directory one after the other.
		name := fmt.Sprintf("%s-%06d.eml", s.started.UTC().Format("20060102-150405.000000"), len(s.mails)+1)
		m.File = filepath.Join(s.config.Dir, name)
		if err := os.WriteFile(m.File, data, 0o644); err != nil {
			s.config.Logger.Error("mail not kept", "to", m.To, "err", err)
			return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Mailbox cannot be written"}
		}
	}
	s.mails = append(s.mails, m)
	s.config.Logger.Debug("mail accepted", "to", m.To, "id", m.MessageID, "file", m.File)
	return nil
}

// messageID returns the Message-ID of a mail; empty when there is none.
func messageID(data []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return ""
	}
	return strings.Trim(m.Header.Get("Message-ID"), "<> ")
}
