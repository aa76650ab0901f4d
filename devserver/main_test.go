package devserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

var shared = NewShared(Options{Private: true})

func TestMain(m *testing.M) {
	if way := os.Getenv(envAbandon); way != "" {
		abandon(way)
	}
	goleak.VerifyTestMain(shared.Wrap(m))
}

// envAbandon makes the test binary a program that starts a server and is killed.
const envAbandon = "ERRAND_TEST_ABANDON"

// abandon starts a server, says where its traces would be, and waits to be killed.
func abandon(way string) {
	start := startInstalled
	if way == "container" {
		start = startContainer
	}
	s, err := start(context.Background(), Options{}, thisMachine())
	if err != nil {
		fmt.Println("-")
		os.Exit(0)
	}
	switch b := s.backend.(type) {
	case *node:
		fmt.Println(b.dir)
	case *containerNode:
		fmt.Println(b.container.GetContainerID())
	}
	select {}
}

// startAbandoned runs such a program and returns where the traces are.
func startAbandoned(t *testing.T, way string) (child *exec.Cmd, trace string) {
	t.Helper()
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envAbandon+"="+way)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, &trace); err != nil || trace == "-" {
		t.Skipf("the child has no server of its own: %v", err)
	}
	return child, trace
}

func killAbandoned(t *testing.T, child *exec.Cmd) {
	t.Helper()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // "signal: killed"
}
