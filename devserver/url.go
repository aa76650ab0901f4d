package devserver

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// parseURLs splits a URL as broker.Dial takes it: one, or several separated by commas.
// Its errors don't repeat the URL, which may hold a password.
func parseURLs(raw string) ([]*url.URL, error) {
	var list []*url.URL
	for one := range strings.SplitSeq(raw, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			var parse *url.Error
			if errors.As(err, &parse) {
				err = parse.Err
			}
			return nil, fmt.Errorf("it is not a URL: %w", err)
		}
		if u.Scheme != "amqp" && u.Scheme != "amqps" || u.Hostname() == "" {
			return nil, errors.New("want amqp://user:password@host:port/vhost, or amqps://")
		}
		list = append(list, u)
	}
	return list, nil
}

// rewrite applies change to each URL of a list.
func rewrite(raw string, change func(*url.URL)) (string, error) {
	list, err := parseURLs(raw)
	if err != nil {
		return "", err
	}
	out := make([]string, len(list))
	for i, u := range list {
		change(u)
		out[i] = u.String()
	}
	return strings.Join(out, ","), nil
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
