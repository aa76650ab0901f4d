package contest

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
)

// allocRate is a sample of allocations for so many bytes: eight times as many as by default.
const allocRate = 64 << 10

// profile writes what the process does until stop to the directory that the assignment names:
// WORK.CONTENDER.cpu and WORK.CONTENDER.allocs, for go tool pprof, with .callee behind the
// contender where the process answers calls. Later rounds overwrite them.
func profile(a assignment) (stop func() error, err error) {
	if a.Profiles == "" {
		return func() error { return nil }, nil
	}
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(a.Work.Name, "-") + "." + a.Contender
	if a.Serve {
		name += ".callee"
	}
	runtime.MemProfileRate = allocRate
	cpu, err := os.Create(filepath.Join(a.Profiles, name+".cpu"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		allocs, err := os.Create(filepath.Join(a.Profiles, name+".allocs"))
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close(), cpu.Close())
	}, nil
}
