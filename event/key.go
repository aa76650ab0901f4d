package event

import (
	"fmt"
	"strings"
)

// maxKey is AMQP's limit for a routing key, in bytes.
const maxKey = 255

// checkKey returns the rule that the key of an event breaks.
func (d *definition) checkKey(key string) error {
	if d.routing == Fanout || d.routing == Headers {
		if len(key) > maxKey {
			return d.keyError(key, "at most 255 bytes are allowed")
		}
		return nil // it has no meaning there
	}
	if err := d.checkWords(key); err != nil {
		return err
	}
	if d.routing == Pattern {
		for word := range strings.SplitSeq(key, ".") {
			if word == "*" || word == "#" {
				return d.keyError(key, "an event's key has no wildcards, they belong to subscriptions")
			}
		}
	}
	return nil
}

// checkPattern returns the rule that the key of a subscription breaks.
func (d *definition) checkPattern(key string) error {
	if err := d.checkWords(key); err != nil || d.routing != Pattern {
		return err
	}
	for word := range strings.SplitSeq(key, ".") {
		if len(word) > 1 && strings.ContainsAny(word, "*#") {
			return d.keyError(key, "* and # stand for whole words")
		}
	}
	return nil
}

func (d *definition) checkWords(key string) error {
	switch {
	case key == "":
		return d.keyError(key, fmt.Sprintf("it is empty, and the routing of exchange %q is %s", d.exchange, d.routing))
	case len(key) > maxKey:
		return d.keyError(key, "at most 255 bytes are allowed")
	}
	if d.routing == Pattern {
		for word := range strings.SplitSeq(key, ".") {
			if word == "" {
				return d.keyError(key, "a word between dots is empty")
			}
		}
	}
	return nil
}

func (d *definition) keyError(key, rule string) error {
	return fmt.Errorf("%w: topic %q: key %.300q: %s", ErrInvalid, d.name, key, rule)
}
