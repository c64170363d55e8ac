// SPDX-License-Identifier: GPL-2.0

// target-go, in the language of target.c: says "ready", and then for each line
// that it reads whether its objects hold what was written. Before that, "empty"
// allocates objects of many sizes and drops most of them; "check" drops all that
// it allocates.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
)

const (
	smallest = 8         // words
	largest  = 128 << 10 // words
	ofEach   = 1 << 20   // words in objects of each size
	kept     = 64 << 10  // of these
	atOnce   = 32 << 10  // are dropped together: less than one table maps
)

type group struct {
	size    int
	objects [][]uint64
}

func (g group) holds() bool {
	for i, object := range g.objects {
		for j, word := range object {
			if word != uint64(i+j) {
				return false
			}
		}
	}
	return true
}

// drop forgets objects that lie behind the offset, all or every other part.
func (g group) drop(offset, parts int) {
	for i := range g.objects {
		at := i * g.size
		if at >= offset && at/atOnce%parts == 0 {
			g.objects[i] = nil
		}
	}
}

func allocateGroup(size int) group {
	g := group{size, make([][]uint64, ofEach/size)}
	for i := range g.objects {
		object := make([]uint64, size)
		for j := range object {
			object[j] = uint64(i + j)
		}
		g.objects[i] = object
	}
	return g
}

func allocate() []group {
	var groups []group
	for size := smallest; size <= largest; size *= 2 {
		groups = append(groups, allocateGroup(size), allocateGroup(size+size/2))
	}
	return groups
}

func hold(groups []group) bool {
	for _, g := range groups {
		if !g.holds() {
			return false
		}
	}
	return true
}

// shrink drops what lies behind the offset, in two steps as a heap does that gets less and
// less.
func shrink(groups []group, offset int) {
	for parts := 2; parts > 0; parts-- {
		for _, g := range groups {
			g.drop(offset, parts)
		}
		debug.FreeOSMemory()
	}
}

func main() {
	var old []group
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fresh := allocate()
		good := hold(old) && hold(fresh)
		if lines.Text() == "empty" {
			shrink(fresh, kept)
			old = append(old, fresh...)
		} else {
			shrink(fresh, 0)
		}
		if good && hold(old) {
			fmt.Println("holds")
		} else {
			fmt.Println("lost")
		}
	}
}
