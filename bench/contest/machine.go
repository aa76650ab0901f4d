package contest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// A Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory string `json:"memory"`
	OS     string `json:"os"`
	Go     string `json:"go"`
}

func thisMachine() Machine {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = nil
	}
	return Machine{
		CPU:    valueIn("/proc/cpuinfo", "model name"),
		CPUs:   runtime.NumCPU(),
		Memory: memory(),
		OS:     strings.TrimSpace(runtime.GOOS + "/" + runtime.GOARCH + " " + string(kernel)),
		Go:     runtime.Version(),
	}
}

func memory() string {
	kib, _, _ := strings.Cut(valueIn("/proc/meminfo", "MemTotal"), " ")
	return fmt.Sprintf("%.1f GiB", float64(atoi(kib))/(1<<20))
}

// valueIn returns what a file of the proc filesystem says behind a name and a colon.
func valueIn(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// shown are the modules whose versions matter, by the beginning of their paths.
var shown = []string{
	"github.com/rabbitmq/amqp091-go", "github.com/ThreeDotsLabs/", "github.com/wagslane/",
	"github.com/hibiken/", "github.com/redis/go-redis", "github.com/riverqueue/", "github.com/jackc/pgx",
}

// modules are the versions of what this program is built from.
func modules() map[string]string {
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, m := range info.Deps {
		if slices.ContainsFunc(shown, func(prefix string) bool { return strings.HasPrefix(m.Path, prefix) }) {
			versions[m.Path] = m.Version
		}
	}
	return versions
}

// serverProcess finds the process of a server by the process ID that the server itself
// knows, which may be that of a container. It returns 0 unless exactly one process of that
// name has this ID, in its own namespace.
func serverProcess(name string, id string) int {
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return 0
	}
	found := 0
	for _, file := range files {
		if valueIn(file, "Name") != name {
			continue
		}
		ids := strings.Fields(valueIn(file, "NSpid")) // the last is that of the innermost namespace
		if len(ids) == 0 || ids[len(ids)-1] != id {
			continue
		}
		if found != 0 {
			return 0
		}
		found = atoi(filepath.Base(filepath.Dir(file)))
	}
	return found
}

// atoi returns 0 for what is no number.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
