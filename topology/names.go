package topology

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Namespace is the prefix of everything that errand declares beside the user's own queues.
// The zero value stands for "errand". Two applications that share a virtual host and must
// not share delayed jobs and dead letters take two namespaces.
type Namespace string

// DefaultNamespace is what the zero [Namespace] stands for.
const DefaultNamespace Namespace = "errand"

func (n Namespace) name(suffix string) string {
	if n == "" {
		n = DefaultNamespace
	}
	return string(n) + "." + suffix
}

// Owns reports whether name is that of an exchange of n. Others may begin like one.
func (n Namespace) Owns(name string) bool {
	rest, ours := strings.CutPrefix(name, n.name(""))
	if !ours {
		return false
	}
	switch rest {
	case "jobs", "due", "dead", "parked":
		return true
	}
	return strings.HasPrefix(rest, "delay.")
}

// Jobs is the direct exchange where jobs enter, with their queue's name as key.
func (n Namespace) Jobs() string { return n.name("jobs") }

// Due is the topic exchange where delayed jobs come out.
func (n Namespace) Due() string { return n.name("due") }

// Dead is the direct exchange for jobs put aside, with their queue's name as key.
func (n Namespace) Dead() string { return n.name("dead") }

// Parked is the fanout exchange, and the queue behind it, that keeps delayed jobs and dead
// letters whose own queue is gone.
func (n Namespace) Parked() string { return n.name("parked") }

// Delay is the topic exchange, and the queue behind it, of one level of the delay ladder.
func (n Namespace) Delay(level int) string { return n.name(fmt.Sprintf("delay.%02d", level)) }

// DeadQueue is the queue that keeps the jobs of queue which can't succeed.
func DeadQueue(queue string) string { return queue + ".dead" }

// MaxQueueName is the longest queue name in bytes. A routing key, which RabbitMQ limits to
// 255 bytes, must hold it behind the 56 bytes of a delay.
const MaxQueueName = 180

// maxShortString is AMQP's limit for names and keys.
const maxShortString = 255

// maxNamespace leaves room for the suffixes and for a virtual host's name, which RabbitMQ
// counts into a quorum queue's 255 bytes.
const maxNamespace = 60

// ErrName is wrapped by the errors of [CheckQueue] and [Namespace.Check].
var ErrName = errors.New("topology: bad name")

// CheckQueue returns an error that wraps [ErrName] and names the rule which a queue's name
// breaks. A name is 1 to 180 bytes of UTF-8 without control characters, * and # (they are wildcards
// in a delayed job's key), and does not begin with amq. or errand., which belong to
// RabbitMQ and to errand.
func CheckQueue(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: a queue's name is empty", ErrName)
	case len(name) > MaxQueueName:
		return fmt.Errorf("%w: queue %.40q…: %d bytes, at most %d are allowed", ErrName, name, len(name), MaxQueueName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: queue %q: it is not valid UTF-8", ErrName, name)
	case strings.ContainsAny(name, "*#"):
		return fmt.Errorf("%w: queue %q: * and # are not allowed", ErrName, name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: queue %q: control characters are not allowed", ErrName, name)
	case strings.HasPrefix(name, "amq."), strings.HasPrefix(name, string(DefaultNamespace)+"."):
		return fmt.Errorf("%w: queue %q: names that begin with amq. or errand. are reserved", ErrName, name)
	}
	return nil
}

// CheckExchange is [CheckQueue] for the name of an exchange, with RabbitMQ's own limit of 255
// bytes.
func CheckExchange(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: an exchange's name is empty", ErrName)
	case len(name) > maxShortString:
		return fmt.Errorf("%w: exchange %.40q…: %d bytes, at most %d are allowed", ErrName, name, len(name), maxShortString)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: exchange %q: it is not valid UTF-8", ErrName, name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: exchange %q: control characters are not allowed", ErrName, name)
	case strings.HasPrefix(name, "amq."), strings.HasPrefix(name, string(DefaultNamespace)+"."):
		return fmt.Errorf("%w: exchange %q: names that begin with amq. or errand. are reserved", ErrName, name)
	}
	return nil
}

// Check returns an error that wraps [ErrName] and names the rule which n breaks: at most 60
// bytes, the rules of [CheckQueue] apart from the reserved "errand".
func (n Namespace) Check() error {
	s := string(n)
	switch {
	case len(s) > maxNamespace:
		return fmt.Errorf("%w: namespace %.40q…: %d bytes, at most %d are allowed", ErrName, s, len(s), maxNamespace)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: namespace %q: it is not valid UTF-8", ErrName, s)
	case strings.ContainsAny(s, "*#"), strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%w: namespace %q: *, # and control characters are not allowed", ErrName, s)
	case s == "amq", strings.HasPrefix(s, "amq."):
		return fmt.Errorf("%w: namespace %q: amq is RabbitMQ's own", ErrName, s)
	}
	return nil
}
