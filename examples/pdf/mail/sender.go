package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/errandq/errand/retry"
	gomail "github.com/wneessen/go-mail"
)

// Sender hands letters to one SMTP server, in a connection of its own for each letter. It is safe for concurrent use.
type Sender struct {
	server server
	from   string
}

// Without a deadline in the context a Send gives up after this long: a server that has stopped answering must not hold a worker's slot
// for ever.
const defaultTimeout = time.Minute

// NewSender returns a sender for the server at address, "host:port" or "smtp://user:password@host:port". The connection is encrypted if
// the server offers it (STARTTLS), and then the server's certificate has to be good. A password never goes out in clear: without
// encryption the server has to offer SCRAM or CRAM-MD5. From is the sender's mail address. Errors never quote the password.
func NewSender(address, from string) (*Sender, error) {
	server, err := parseServer(address)
	if err != nil {
		return nil, fmt.Errorf("mail: new sender: %w", err)
	}
	if err := gomail.NewMsg().From(from); err != nil {
		return nil, fmt.Errorf("mail: new sender: from address %q: %w", from, err)
	}
	return &Sender{server: server, from: from}, nil
}

// Send returns nil when the server has accepted the letter. It gives up when ctx ends, wherever it stands then; the error wraps ctx's
// cause. See the package's comment for the errors that are retry.Permanent.
//
// An error does not prove that the letter has not been sent: the server's yes can get lost. Letter.ID lets a receiver notice.
func (s *Sender) Send(ctx context.Context, letter Letter) error {
	if err := s.send(ctx, letter); err != nil {
		return fmt.Errorf("mail: send to %s by %s: %w", letter.To, s.server, err)
	}
	return nil
}

func (s *Sender) send(ctx context.Context, letter Letter) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout) // a sooner deadline of the caller's stays in force
	defer cancel()

	msg, err := letter.message(s.from)
	if err != nil {
		return err
	}
	// The library applies a context to dialling alone. Closing the connection is what ends the rest of the conversation, and covers the
	// paths on which the library leaves the connection open.
	var conns closer
	defer context.AfterFunc(ctx, conns.close)()
	defer conns.close()
	client, err := gomail.NewClient(s.server.host, s.options(&conns)...)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	switch {
	case err == nil, msg.IsDelivered():
		// Accepted is accepted, even if saying good-bye failed: an error here would send the letter twice.
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w)", context.Cause(ctx), oneLine{err})
	case refusedForGood(err):
		return retry.Permanent(oneLine{err})
	default:
		return oneLine{err}
	}
}

func (s *Sender) options(conns *closer) []gomail.Option {
	options := []gomail.Option{
		gomail.WithPort(s.server.port),
		gomail.WithTLSPolicy(gomail.TLSOpportunistic),
		gomail.WithTimeout(defaultTimeout),
		gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, network, address)
			if err == nil {
				conns.add(conn)
			}
			return conn, err
		}),
	}
	if s.server.user != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(s.server.user), gomail.WithPassword(s.server.password))
	}
	return options
}

// refusedForGood reports whether the server has answered 5xx to the letter itself. The same answer to the greeting or the password
// is not a *gomail.SendError and says nothing about the letter.
func refusedForGood(err error) bool {
	sendErr, ok := errors.AsType[*gomail.SendError](err)
	return ok && sendErr.ErrorCode() >= 500 && sendErr.ErrorCode() <= 599
}

// oneLine is an error whose text fits a log line and a message header, where the library's joined errors have several lines.
type oneLine struct {
	error
}

// Error is the library's text with its line ends replaced.
func (e oneLine) Error() string {
	return strings.ReplaceAll(e.error.Error(), "\n", "; ")
}

// Unwrap returns the library's error.
func (e oneLine) Unwrap() error {
	return e.error
}
