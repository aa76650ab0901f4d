package main

import (
	"errors"
	"os"
	"testing"

	"github.com/errandq/errand/bench/contest"
)

func TestMain(m *testing.M) {
	if contest.Child(contenders()) {
		return // a sample of TestContest
	}
	// Under the race detector each sample's process would sleep for a second at its end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// Every contender does all of its work, with few jobs. That jobs are neither lost nor
// changed, and that all is measured, is checked with each sample.
func TestContest(t *testing.T) {
	if testing.Short() {
		t.Skip("a RabbitMQ is started, which -short leaves out")
	}
	c := contest.Contest{Contenders: contenders(), Servers: servers(), Log: t.Output()}
	results, err := c.Run(t.Context(), contest.Options{Rounds: 1, Short: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(results.Rows), len(contest.Works()); got != want {
		t.Errorf("got %d works, want %d: is RabbitMQ missing?", got, want)
	}
	for _, row := range results.Rows {
		if got, want := len(row.Entries), len(contenders()); got != want {
			t.Errorf("%s: got %d contenders, want %d", row.Work.Name, got, want)
		}
		if row.Work.Kind != contest.Delayed {
			continue
		}
		for _, e := range row.Entries {
			if least := e.Samples[0].Times.Min; least < 0 {
				t.Errorf("%s, %s: a job was %.2f ms early", row.Work.Name, e.Contender, -least)
			}
		}
	}
	written := t.TempDir()
	if err := results.Write(written); err != nil {
		t.Fatal(err)
	}
	_, err1 := os.Stat(written + "/" + results.Name() + ".md")
	_, err2 := contest.Read(written + "/" + results.Name() + ".json")
	if err := errors.Join(err1, err2); err != nil {
		t.Error(err)
	}
}
