package devserver

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// errPortTaken says that starting again, with other ports, may help.
var errPortTaken = errors.New("a port was taken meanwhile")

// excerpt returns what tells in a node's log why it did not start, as an error. It is
// errPortTaken when the log speaks of that.
//
// What came first is the cause; the crash reports after it repeat it at length.
func excerpt(log string) error {
	const most = 12
	colors := regexp.MustCompile("\x1b\\[[0-9;]*m")
	log = colors.ReplaceAllString(log, "")
	var telling, last []string
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		_, text, isError := strings.Cut(line, "[error] ")
		_, text, _ = strings.Cut(text, "> ") // the process that logged it
		switch {
		case line == "":
			continue
		case isError && strings.TrimSpace(text) != "" && len(telling) < most:
			telling = append(telling, strings.TrimSpace(text))
		}
		last = append(last, line)
	}
	if len(telling) == 0 {
		telling = last[max(0, len(last)-most):]
	}
	if len(telling) == 0 {
		return errors.New("it logged nothing")
	}
	why := strings.Join(telling, "\n\t")
	for _, sign := range []string{"eaddrinuse", "address already in use", "port already in use"} {
		if strings.Contains(strings.ToLower(log), sign) {
			return fmt.Errorf("%w; its log says:\n\t%s", errPortTaken, why)
		}
	}
	return fmt.Errorf("its log says:\n\t%s", why)
}
