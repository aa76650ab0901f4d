package mail

import (
	"strings"
	"testing"
)

func TestParseServer(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]server{
		"localhost:2525":                     {host: "localhost", port: 2525},
		"mail.example.com":                   {host: "mail.example.com", port: 25},
		"[::1]:2525":                         {host: "::1", port: 2525},
		"smtp://mail.example.com:587":        {host: "mail.example.com", port: 587},
		"smtp://shop:p%40ss@example.com:587": {host: "example.com", port: 587, user: "shop", password: "p@ss"},
	} {
		if got, err := parseServer(address); err != nil || got != want {
			t.Errorf("parseServer(%q): got %+v, %v, want %+v", address, got, err, want)
		}
	}
}

func TestNewSenderSaysWhatIsWrongWithoutThePassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "http://example.com", "smtp://", "smtp://shop:s3cret@", "smtp://shop:s3cret@example.com:99999", "smtp://shop:s3cret@example.com:x",
		"smtp://shop:s3cret@example.com/path", "smtp://shop:s3cret%zz@example.com",
	} {
		_, err := NewSender(address, "shop@example.com")
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("NewSender(%q): got %v, want an error without the password", address, err)
		}
	}
	if _, err := NewSender("localhost:25", "not an address"); err == nil {
		t.Error("from address: got no error")
	}
}
