package topology_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/errandq/errand/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDeclarations(t *testing.T) {
	t.Parallel()
	for name, top := range map[string]topology.Topology{
		"work":                     topology.Work("", "pdf"),
		"existing":                 topology.Work("", "pdf", topology.Existing()),
		"existing-retries":         topology.Work("", "pdf", topology.Existing(), topology.Retries()),
		"ladder-1s":                topology.Ladder("", time.Second),
		"ladder-1h":                topology.Ladder("", time.Hour),
		"namespace":                topology.Join(topology.Work("shop", "pdf"), topology.Ladder("shop", topology.Resolution)),
		"two-queues-and-one-delay": topology.Join(topology.Work("", "pdf"), topology.Work("", "mail"), topology.Ladder("", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, top.String())
		})
	}
}

// golden compares got with the test's golden file.
func golden(t *testing.T, got string) {
	t.Helper()
	path := filepath.Join("testdata", t.Name()+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant, from %s,\n%s\nRabbitMQ refuses to declare what exists with other arguments: "+
			"a change needs another name. If it is meant, run the test with -update.", got, path, want)
	}
}
