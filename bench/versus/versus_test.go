package main

import (
	"os"
	"slices"
	"testing"

	"github.com/errandq/errand/bench/contest"
)

func TestMain(m *testing.M) {
	if contest.Child(contenders()) {
		return // a sample of TestContest
	}
	os.Exit(m.Run())
}

// Every contender whose server is installed does all of its work, with few jobs. That jobs
// are neither lost nor changed is checked with each sample.
func TestContest(t *testing.T) {
	if testing.Short() {
		t.Skip("servers are started, which -short leaves out")
	}
	others := slices.DeleteFunc(contenders(), func(c contest.Contender) bool {
		return c.Name == "careful" || c.Name == "errand" // the test of bench has them
	})
	c := contest.Contest{Contenders: others, Servers: servers(), Log: t.Output()}
	results, err := c.Run(t.Context(), contest.Options{Rounds: 1, Short: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(results.About) < len(others) {
		t.Logf("only %d of %d contenders, because servers are missing", len(results.About), len(others))
	}
}
