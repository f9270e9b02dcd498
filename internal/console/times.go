package console

import (
	"fmt"
	"time"
)

// relative says how far a time is from now: "in 12 min", "3 h ago". The script says the same.
func relative(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s > -5 && s < 5:
		return "now"
	case s > 0:
		return "in " + span(s)
	}
	return span(-s) + " ago"
}

// span names a number of seconds in one unit, cut down and never rounded up.
func span(s int64) string {
	switch {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 120*60:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%d h", s/3600)
	}
	return fmt.Sprintf("%d days", s/86400)
}

// durationWords gives a duration whole: "4 h", "1 h 30 min", "7 days".
func durationWords(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s <= 0 {
		return "0 s"
	}
	out, parts := "", 0
	for _, u := range []struct {
		seconds int64
		one     string
		many    string
	}{{86400, "day", "days"}, {3600, "h", "h"}, {60, "min", "min"}, {1, "s", "s"}} {
		n := s / u.seconds
		s -= n * u.seconds
		if n == 0 {
			continue
		}
		name := u.many
		if n == 1 {
			name = u.one
		}
		if parts++; parts > 1 {
			out += " "
		}
		out += fmt.Sprintf("%d %s", n, name)
	}
	return out
}
