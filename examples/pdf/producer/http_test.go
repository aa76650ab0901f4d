package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/examples/pdf/jobs"
)

const goodOrder = `{
	"id": "A-1", "placed_at": "2026-03-14T15:09:26Z", "currency": "EUR",
	"customer": {"name": "Ada Lovelace", "email": "ada@example.com", "address": "12 St James's Square\nLondon"},
	"items": [{"description": "Teapot", "quantity": 2, "unit_price": 4950}]
}`

func post(s *shop, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler(s).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body)))
	return recorder
}

func TestPostOrderAccepts(t *testing.T) {
	t.Parallel()
	enqueuer := &fakeEnqueuer{}
	shop := newShop(enqueuer)
	response := post(shop, goodOrder)
	if response.Code != http.StatusAccepted {
		t.Fatalf("got %d %s, want 202", response.Code, response.Body)
	}
	var got accepted
	if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(enqueuer.jobs) != 1 || got.Job != enqueuer.jobs[0].ID || got.Order != "A-1" {
		t.Errorf("got %+v, enqueued %+v", got, enqueuer.jobs)
	}
	order, err := jobs.Render.Decode(enqueuer.jobs[0])
	if err != nil || order.Items[0].UnitPrice != 4950 {
		t.Errorf("got %+v, %v", order, err)
	}
}

func TestPostOrderFillsInIDAndDate(t *testing.T) {
	t.Parallel()
	enqueuer := &fakeEnqueuer{}
	shop := newShop(enqueuer)
	body := strings.NewReplacer(`"id": "A-1", `, "", `"placed_at": "2026-03-14T15:09:26Z", `, "").Replace(goodOrder)
	if response := post(shop, body); response.Code != http.StatusAccepted {
		t.Fatalf("got %d %s, want 202", response.Code, response.Body)
	}
	order, err := jobs.Render.Decode(enqueuer.jobs[0])
	if err != nil || order.ID == "" || !order.PlacedAt.Equal(shop.now()) {
		t.Errorf("got %+v, %v, want an ID and the present date", order, err)
	}
}

func TestPostOrderRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		body string
		err  error // the enqueuer's
		code int
		want string
	}{
		{"no JSON", "hello", nil, http.StatusBadRequest, "not an order"},
		{"unknown field", `{"itmes": []}`, nil, http.StatusBadRequest, "itmes"},
		{"broken order", strings.Replace(goodOrder, `"quantity": 2`, `"quantity": -2`, 1), nil, http.StatusUnprocessableEntity, "quantity -2"},
		{"ID that leaves the directory", strings.Replace(goodOrder, "A-1", "../x", 1), nil, http.StatusUnprocessableEntity, "../x"},
		{"too large", `{"id": "` + strings.Repeat("x", maxBody) + `"}`, nil, http.StatusRequestEntityTooLarge, "too large"},
		{"outage", goodOrder, errors.New("secret detail"), http.StatusServiceUnavailable, "send it again with id A-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			enqueuer := &fakeEnqueuer{fail: func(int) error { return test.err }}
			shop := newShop(enqueuer)
			response := post(shop, test.body)
			if response.Code != test.code || !strings.Contains(response.Body.String(), test.want) {
				t.Errorf("got %d %s, want %d with %q", response.Code, response.Body, test.code, test.want)
			}
			if strings.Contains(response.Body.String(), "secret detail") {
				t.Errorf("the answer tells a customer about our broker: %s", response.Body)
			}
			if shop.summary().Placed != 0 || len(enqueuer.jobs) != 0 {
				t.Error("a refused order counts as placed")
			}
		})
	}
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	handler(newShop(&fakeEnqueuer{})).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/orders", nil))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d, want 405", recorder.Code)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, "127.0.0.1:0", newShop(&fakeEnqueuer{})) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("serve goes on after its context")
	}
	if err := serve(t.Context(), "nowhere", newShop(&fakeEnqueuer{})); err == nil {
		t.Error("bad address: got no error")
	}
}
