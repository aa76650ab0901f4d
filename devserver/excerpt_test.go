package devserver

import (
	"errors"
	"strings"
	"testing"
)

func TestExcerpt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, log, want string
		taken           bool
	}{
		{"first errors", "d [info] <0.1.0> hello\nd [error] <0.1.0> \nd [error] <0.1.0> no such key\n", "no such key", false},
		{"no errors: the end", "hello\nerl: not found\n", "erl: not found", false},
		{"port of a listener", "d [error] <0.1.0> Failed to start listener, error: eaddrinuse (address already in use)", "Failed to start", true},
		{"port of epmd", "epmd: Tue: failed to bind on ipaddr 127.0.0.1: Address already in use\n", "failed to bind", true},
		{"colors", "\x1b[38;5;160md [error] <0.1.0> no such key\x1b[0m\n", "\tno such key", false},
		{"nothing", "", "logged nothing", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := excerpt(test.log)
			if !strings.Contains(err.Error(), test.want) || errors.Is(err, errPortTaken) != test.taken {
				t.Errorf("got %v, port taken: %t; want %q, %t", err, errors.Is(err, errPortTaken), test.want, test.taken)
			}
		})
	}
}
