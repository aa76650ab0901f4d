package codec_test

import (
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/errandq/errand/codec"
)

func ExampleJSON() {
	body, err := codec.JSON.Encode(order{ID: "42"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", codec.JSON.ContentType(), body)
	fmt.Println(errors.Is(codec.JSON.Decode("image/png", body, &order{}), codec.ErrContentType))
	// Output:
	// application/json: {"id":"42"}
	// true
}

// Bytes is for queues whose messages are no JSON and are read by hand.
func ExampleBytes() {
	var body string
	if err := codec.Bytes.Decode("text/csv", []byte("42;blue"), &body); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(body)
	// Output: 42;blue
}

// XML is a codec of one's own.
type XML struct{}

func (XML) ContentType() string { return "application/xml" }

func (XML) Encode(v any) ([]byte, error) { return xml.Marshal(v) }

func (c XML) Decode(contentType string, body []byte, v any) error {
	if contentType != c.ContentType() {
		return fmt.Errorf("%w: got %q", codec.ErrContentType, contentType)
	}
	return xml.Unmarshal(body, v)
}

func ExampleCodec() {
	var c codec.Codec = XML{}
	body, err := c.Encode(struct {
		XMLName xml.Name `xml:"order"`
		ID      string   `xml:"id,attr"`
	}{ID: "42"})
	fmt.Printf("%s %v\n", body, err)
	// Output: <order id="42"></order> <nil>
}
