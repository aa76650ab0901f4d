package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
)

// A Codec turns values into message bodies and back. It is safe for concurrent use.
type Codec interface {
	// ContentType is the MIME type that Encode's output is sent with.
	ContentType() string
	// Encode returns v as bytes, or an error that says why v has no such form.
	Encode(v any) ([]byte, error)
	// Decode stores a body in v, a non-nil pointer. contentType is the message's own, empty if
	// it has none; a Codec that can't read it returns an error that wraps [ErrContentType].
	Decode(contentType string, body []byte, v any) error
}

// ErrContentType is wrapped by Decode's error when a message is of a type that the codec
// does not read.
var ErrContentType = errors.New("codec: wrong content type")

// JSON encodes with encoding/json. It decodes bodies of type application/json, with or
// without parameters, and bodies without a type. Unknown fields are ignored, so that a
// producer may be newer than its worker.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return "application/json" }

func (jsonCodec) Encode(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("codec: encode %T as JSON: %w", v, err)
	}
	return body, nil
}

func (c jsonCodec) Decode(contentType string, body []byte, v any) error {
	// The two usual spellings skip the parser: this runs once a job.
	if contentType != "" && contentType != c.ContentType() {
		media, _, err := mime.ParseMediaType(contentType)
		if err != nil || media != c.ContentType() {
			return fmt.Errorf("%w: got %.80q, want %s", ErrContentType, contentType, c.ContentType())
		}
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("codec: decode JSON into %T: %w", v, err)
	}
	return nil
}

// Bytes passes bodies through untouched, whatever their content type. Values are []byte or
// string; Decode needs a *[]byte or a *string.
var Bytes Codec = bytesCodec{}

type bytesCodec struct{}

func (bytesCodec) ContentType() string { return "application/octet-stream" }

func (bytesCodec) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("codec: encode %T as bytes: want []byte or string", v)
}

func (bytesCodec) Decode(_ string, body []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = body
	case *string:
		*v = string(body)
	default:
		return fmt.Errorf("codec: decode bytes into %T: want *[]byte or *string", v)
	}
	return nil
}
