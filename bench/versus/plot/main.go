package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/errandq/errand/bench/contest"
)

func main() {
	for _, path := range os.Args[1:] {
		if err := drawPath(path); err != nil {
			fmt.Fprintln(os.Stderr, "plot:", err)
			os.Exit(1)
		}
	}
}

// drawPath draws a file, or what has no plots yet in a directory.
func drawPath(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return drawFile(path)
	}
	files, err := filepath.Glob(filepath.Join(path, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		plots, err := filepath.Glob(strings.TrimSuffix(file, ".json") + "-*.png")
		if err != nil {
			return err
		}
		if len(plots) > 0 {
			continue
		}
		if err := drawFile(file); err != nil {
			return err
		}
	}
	return nil
}

// drawFile draws results beside the file that they are in.
func drawFile(file string) error {
	results, err := contest.Read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := draw(results, strings.TrimSuffix(file, ".json")); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
