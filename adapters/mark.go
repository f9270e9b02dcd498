package adapters

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// markPrefix begins every mark of ours.
const markPrefix = "firebreak:"

// MarkFor is the mark of one generation of an effect: "firebreak:<effect>:<generation>".
func MarkFor(effect uuid.UUID, generation int64) string {
	return markPrefix + effect.String() + ":" + strconv.FormatInt(generation, 10)
}

// ParseMark reads a mark as MarkFor writes it. What people and other programs write is not one.
func ParseMark(s string) (effect uuid.UUID, generation int64, ok bool) {
	rest, found := strings.CutPrefix(s, markPrefix)
	if !found {
		return uuid.Nil, 0, false
	}
	id, number, found := strings.Cut(rest, ":")
	if !found {
		return uuid.Nil, 0, false
	}
	effect, err := uuid.Parse(id)
	if err != nil {
		return uuid.Nil, 0, false
	}
	generation, err = strconv.ParseInt(number, 10, 64)
	if err != nil || generation < 1 || MarkFor(effect, generation) != s {
		return uuid.Nil, 0, false
	}
	return effect, generation, true
}

// Owns reports whether what bears a mark on a device is the order's to change and to undo: it has the order's own mark,
// or that of an earlier generation of the same effect, which a lost release left behind.
func (o Order) Owns(mark string) bool {
	if mark == o.Mark {
		return mark != ""
	}
	effect, generation, ok := ParseMark(mark)
	return ok && effect == o.EffectID && generation <= o.Generation
}

// Overtaken reports whether a mark is of a later generation of the same effect: the order is an old one that was held up
// on its way, and must neither change nor remove what stands there now.
func (o Order) Overtaken(mark string) bool {
	effect, generation, ok := ParseMark(mark)
	return ok && effect == o.EffectID && generation > o.Generation
}
