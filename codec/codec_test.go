package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/errandq/errand/codec"
)

type order struct {
	ID    string         `json:"id"`
	Items []string       `json:"items,omitempty"`
	Meta  map[string]int `json:"meta,omitempty"`
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []order{{}, {ID: "42"}, {ID: "<&>\u2028€", Items: []string{"", "b"}, Meta: map[string]int{"x": -1}}} {
		body, err := codec.JSON.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		var got order
		if err := codec.JSON.Decode(codec.JSON.ContentType(), body, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v by way of %s, want %+v", got, err, body, want)
		}
	}
}

func TestJSONContentTypes(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"": true, "application/json": true, "application/json; charset=utf-8": true, "APPLICATION/JSON": true, " application/json ": true,
		"text/json": false, "application/json2": false, "application/xml": false, "json": false, ";": false,
		"application/json; charset": false, "\x00": false, strings.Repeat("x", 1<<16): false,
	}
	for contentType, want := range tests {
		var got order
		err := codec.JSON.Decode(contentType, []byte(`{"id":"42"}`), &got)
		if want && (err != nil || got.ID != "42") {
			t.Errorf("type %.40q: got %+v, %v, want 42", contentType, got, err)
		}
		if !want && (!errors.Is(err, codec.ErrContentType) || got.ID != "" || len(err.Error()) > 500) {
			t.Errorf("type %.40q: got %+v, %v, want a short ErrContentType", contentType, got, err)
		}
	}
}

func TestJSONIgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	var got order
	if err := codec.JSON.Decode("", []byte(`{"id":"42","new":{"a":[1]}}`), &got); err != nil || got.ID != "42" {
		t.Errorf("got %+v, %v, want 42", got, err)
	}
}

func TestJSONErrors(t *testing.T) {
	t.Parallel()
	for _, v := range []any{make(chan int), func() {}, math.NaN(), map[bool]int{true: 1}, hostile{}} {
		if body, err := codec.JSON.Encode(v); err == nil || !strings.Contains(err.Error(), "codec: encode") {
			t.Errorf("encode %T: got %s, %v, want an error", v, body, err)
		}
	}
	if _, err := codec.JSON.Encode(hostile{}); !errors.Is(err, errHostile) {
		t.Errorf("got %v, want the cause", err)
	}
	for _, body := range []string{"", "{", `{"id":42}`, `{} {}`, "\xff", strings.Repeat("[", 100_000)} {
		if err := codec.JSON.Decode("", []byte(body), &order{}); err == nil || !strings.Contains(err.Error(), "*codec_test.order") {
			t.Errorf("decode %.20q: got %v, want an error that names the type", body, err)
		}
	}
	for _, v := range []any{nil, order{}, (*order)(nil)} {
		if err := codec.JSON.Decode("", []byte(`{}`), v); err == nil {
			t.Errorf("decode into %#v: no error", v)
		}
	}
}

var errHostile = errors.New("not today")

type hostile struct{}

func (hostile) MarshalJSON() ([]byte, error) { return nil, errHostile }

func TestBytesRoundTrip(t *testing.T) {
	t.Parallel()
	want := []byte{0, 0xff, '{'}
	for _, v := range []any{want, string(want)} {
		body, err := codec.Bytes.Encode(v)
		if err != nil || !bytes.Equal(body, want) {
			t.Fatalf("encode %T: got %v, %v, want %v", v, body, err, want)
		}
		var b []byte
		var s string
		// A foreign message is of any type.
		if err := errors.Join(codec.Bytes.Decode("image/png", body, &b), codec.Bytes.Decode("", body, &s)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) || s != string(want) {
			t.Errorf("got %v and %q, want %v", b, s, want)
		}
	}
	if got := codec.Bytes.ContentType(); got != "application/octet-stream" {
		t.Errorf("content type is %s", got)
	}
}

func TestBytesErrors(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, 1, order{}, &[]byte{}} {
		if body, err := codec.Bytes.Encode(v); err == nil {
			t.Errorf("encode %T: got %v, want an error", v, body)
		}
	}
	for _, v := range []any{nil, []byte{}, "", &order{}} {
		if err := codec.Bytes.Decode("", []byte("x"), v); err == nil {
			t.Errorf("decode into %T: no error", v)
		}
	}
}

// FuzzJSON: what decodes encodes to something that decodes to the same; nothing panics, and
// a body that is refused leaves an error.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{"", "{}", "null", `{"id":"42","items":["a"],"meta":{"x":1}}`, `{"ID":"\ud800"}`, `[[[[`, "\xff", `{"id":1e999}`} {
		f.Add("application/json", []byte(body))
	}
	f.Add("application/json; charset=utf-8", []byte("{}"))
	f.Add("text/plain; =", []byte("{}"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		var first, second order
		if err := codec.JSON.Decode(contentType, body, &first); err != nil {
			return
		}
		if !json.Valid(body) {
			t.Errorf("%q decodes", body)
		}
		again, err := codec.JSON.Encode(first)
		if err != nil {
			t.Fatalf("%q decodes to %+v, which does not encode: %v", body, first, err)
		}
		if err := codec.JSON.Decode("", again, &second); err != nil {
			t.Fatalf("%q encodes as %q, which does not decode: %v", body, again, err)
		}
		if third, err := codec.JSON.Encode(second); err != nil || !bytes.Equal(third, again) {
			t.Errorf("%q encodes as %q and then as %q, %v", body, again, third, err)
		}
	})
}
