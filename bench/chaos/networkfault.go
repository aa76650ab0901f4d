package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/errandq/errand/bench/chaos/proxy"
	"github.com/errandq/errand/bench/chaos/role"
)

// networkFaults happen on the way between one child and the server.
func networkFaults() []fault {
	return []fault{
		{name: "cut", strike: atOnce(func(p *proxy.Proxy, _ *rand.Rand) { p.Cut() })},
		{name: "cut-at-byte", strike: atOnce(func(p *proxy.Proxy, r *rand.Rand) {
			p.CutAfter(direction(r), 1+r.Int64N(3000))
		})},
		{name: "half-open", strike: atOnce(func(p *proxy.Proxy, _ *rand.Rand) { p.Swallow(proxy.BothWays) })},
		{name: "one-way", strike: atOnce(func(p *proxy.Proxy, r *rand.Rand) { p.Swallow(direction(r)) })},
		{name: "latency", strike: forAWhile(func(r *rand.Rand) proxy.Shape {
			return proxy.Shape{Latency: between(r, 20*time.Millisecond, 300*time.Millisecond)}
		})},
		{name: "bandwidth", strike: forAWhile(func(r *rand.Rand) proxy.Shape {
			return proxy.Shape{Bandwidth: 2000 + r.IntN(20_000)}
		})},
		{name: "tiny-reads", strike: forAWhile(func(r *rand.Rand) proxy.Shape {
			return proxy.Shape{Piece: 1 + r.IntN(6)}
		})},
	}
}

func direction(r *rand.Rand) proxy.Direction {
	if r.IntN(2) == 0 {
		return proxy.ToServer
	}
	return proxy.ToClient
}

// atOnce does something to the connections that one child has now.
func atOnce(do func(*proxy.Proxy, *rand.Rand)) func(context.Context, *harness, *rand.Rand) (hit, error) {
	return func(_ context.Context, h *harness, r *rand.Rand) (hit, error) {
		c := h.any(r)
		for _, p := range c.proxies {
			do(p, r)
		}
		return now(c), nil
	}
}

// forAWhile makes the network of one child a bad one.
func forAWhile(shape func(*rand.Rand) proxy.Shape) func(context.Context, *harness, *rand.Rand) (hit, error) {
	return func(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
		c, s := h.any(r), shape(r)
		for _, p := range c.proxies {
			p.Slow(s)
		}
		err := role.Sleep(ctx, between(r, time.Second, 4*time.Second))
		c.heal()
		return now(c), err
	}
}
