package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/firebreak/firebreak/activities"
)

// resident gives the memory of this process that is in use, in bytes, after what can be given back was.
func resident() (float64, error) {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			var kB float64
			_, err := fmt.Sscanf(rest, "%f kB", &kB)
			return kB * 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmRSS")
}

// workflows counts the subjects that have one.
func (h *house) workflows(ctx context.Context) (all int, err error) {
	for _, kind := range activities.Kinds {
		n, err := h.count(ctx, kind)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}
