package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/google/uuid"
)

const (
	maxBody = 1 << 20
	// A customer waits for the answer; RabbitMQ out of reach for longer becomes a 503.
	patience = 10 * time.Second
)

// handler serves POST /orders. An order without an ID or a date gets them; the answer to an accepted one is 202 with both IDs. A client
// that got no answer, or a 503, may send the same order with the same ID again: the invoice is made twice and is the same.
func handler(s *shop) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var order invoice.Order
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		decoder.DisallowUnknownFields() // a misspelt field would silently be missing on the invoice
		if err := decoder.Decode(&order); err != nil {
			status := http.StatusBadRequest
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				status = http.StatusRequestEntityTooLarge
			}
			answer(w, status, problem{Error: "the body is not an order: " + err.Error()})
			return
		}
		if order.ID == "" {
			order.ID = uuid.NewString()
		}
		if order.PlacedAt.IsZero() {
			order.PlacedAt = s.now().UTC().Truncate(time.Second)
		}
		// The worker checks again. Here the customer can still mend the order.
		if invalid, ok := errors.AsType[*invoice.InvalidError](order.Validate()); ok {
			answer(w, http.StatusUnprocessableEntity, problem{Error: invalid.Error(), Problems: invalid.Problems})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		jobID, err := s.place(ctx, order)
		if err != nil {
			s.log.Error("order not placed", "order", order.ID, "err", err)
			answer(w, http.StatusServiceUnavailable, problem{Error: "the order could not be placed; send it again with id " + order.ID})
			return
		}
		answer(w, http.StatusAccepted, accepted{Order: order.ID, Job: jobID})
	})
	return mux
}

type accepted struct {
	Order string `json:"order"`
	Job   string `json:"job"`
}

type problem struct {
	Error    string   `json:"error"`
	Problems []string `json:"problems,omitempty"`
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // an error means that the client has gone: nobody is left to tell
}

// serve answers requests until ctx ends, then finishes those that are running.
func serve(ctx context.Context, address string, s *shop) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	s.log.Info("waiting for orders", "url", fmt.Sprintf("http://%s/orders", listener.Addr()))
	server := &http.Server{Handler: handler(s), ReadTimeout: patience, WriteTimeout: 2 * patience, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("serve: shut down: %w", err)
	}
	<-served
	return nil
}
