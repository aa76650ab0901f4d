package mail

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/errandq/errand/retry"
	gomail "github.com/wneessen/go-mail"
)

// Letter is one mail to one person.
type Letter struct {
	// ID becomes the left part of the Message-ID; the same ID marks the same letter sent again. Empty: a random one.
	ID      string
	To      string
	Subject string
	Text    string
	// Attachment is the path of a file to send along; empty for none. A missing file is a plain error: it may still come.
	Attachment string
}

// message returns the letter in the library's form. What no server could accept is retry.Permanent.
func (l Letter) message(from string) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := msg.From(from); err != nil {
		return nil, err
	}
	if err := msg.To(l.To); err != nil {
		return nil, retry.Permanent(fmt.Errorf("address %q: %w", l.To, err))
	}
	sender, err := msg.GetSender(false)
	if err != nil {
		return nil, err
	}
	msg.Subject(l.Subject)
	msg.SetDate()
	if l.ID == "" {
		msg.SetMessageID()
	} else {
		msg.SetMessageIDWithValue(l.ID + sender[strings.LastIndexByte(sender, '@'):])
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.Text)
	if l.Attachment == "" {
		return msg, nil
	}
	// Read here and not by the library, which would notice a missing file only in the middle of the conversation.
	content, err := os.ReadFile(l.Attachment)
	if err != nil {
		return nil, fmt.Errorf("attachment: %w", err)
	}
	if err := msg.AttachReader(filepath.Base(l.Attachment), bytes.NewReader(content)); err != nil {
		return nil, fmt.Errorf("attachment %s: %w", l.Attachment, err)
	}
	return msg, nil
}
