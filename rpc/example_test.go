package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// Render and Image are what a call of Thumbnail takes and returns.
type Render struct {
	URL   string `json:"url"`
	Width int    `json:"width"`
}

type Image struct {
	PNG []byte `json:"png"`
}

// Both sides import these.
var (
	Thumbnail = rpc.Define[Render, Image]("pdf.thumbnail", rpc.Timeout(10*time.Second), rpc.Idempotent())
	Pages     = rpc.DefineStream[Render, Image]("pdf.pages")
)

func thumbnail(_ context.Context, r Render) (Image, error) {
	if r.Width <= 0 {
		return Image{}, rpc.Errorf(rpc.InvalidRequest, "a width of %d is none", r.Width)
	}
	return Image{PNG: []byte("…")}, nil
}

// A server program: it answers until it is interrupted, and then finishes what it is at.
func Example_server() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := rpc.NewServer(conn, rpc.ServerConfig{})
	rpc.Handle(s, Thumbnail, thumbnail)
	rpc.HandleStream(s, Pages, func(ctx context.Context, r Render, send func(Image) error) error {
		for range 3 {
			if err := send(Image{}); err != nil {
				return err // the caller has left
			}
		}
		return nil
	})
	if err := errors.Join(s.Run(ctx), conn.Close()); err != nil {
		fmt.Println(err)
	}
}

// A caller waits for the answer, at most for a second here.
func Example_caller() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := rpc.NewClient(conn, rpc.ClientConfig{})
	image, err := Thumbnail.Call(ctx, c, Render{URL: "s3://bucket/order.pdf", Width: 200})
	switch {
	case errors.Is(err, rpc.ErrNoServer):
		fmt.Println("nobody makes thumbnails")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(len(image.PNG), "bytes")
	}
	if err := errors.Join(c.Close(), conn.Close()); err != nil {
		fmt.Println(err)
	}
}

// The items of a stream come by a range loop. Leaving it stops the server.
func ExampleStream_Call() {
	ctx := context.Background()
	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := rpc.NewClient(conn, rpc.ClientConfig{})
	for image, err := range Pages.Call(ctx, c, Render{URL: "s3://bucket/order.pdf"}) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(len(image.PNG), "bytes")
	}
	if err := errors.Join(c.Close(), conn.Close()); err != nil {
		fmt.Println(err)
	}
}

// Callers branch on codes, and on the errors of package context for those of that meaning.
func ExampleError() {
	_, err := thumbnail(context.Background(), Render{Width: -1})
	var e *rpc.Error
	if errors.As(err, &e) && e.Code == rpc.InvalidRequest {
		fmt.Println(e.Message)
	}
	fmt.Println(errors.Is(rpc.Errorf(rpc.DeadlineExceeded, "too slow"), context.DeadlineExceeded))
	// Output:
	// a width of -1 is none
	// true
}

// Middleware is the same on both sides.
func ExampleMiddleware() {
	timed := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
			resp, err := next(ctx, r)
			fmt.Printf("%s: %d bytes, %v\n", r.Method, len(resp.Body), err)
			return resp, err
		}
	}
	call := timed(func(context.Context, rpc.Request) (rpc.Response, error) {
		return rpc.Response{Body: []byte(`{"png":""}`)}, nil
	})
	if _, err := call(context.Background(), rpc.Request{Method: "pdf.thumbnail"}); err != nil {
		fmt.Println(err)
	}
	// Output: pdf.thumbnail: 10 bytes, <nil>
}
