package lab_test

import (
	"testing"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/internal/lab"
)

func TestThePagerIsAChannelLikeAnyOther(t *testing.T) {
	const why = "it is simulated, in this process, and can only refuse"
	adaptertest.RunChannel(t, adaptertest.ChannelHarness{Info: lab.NewPager(nil).Product().Info, To: "pager-of-nina@lab-night.example",
		Open: func(*testing.T) *adaptertest.ChannelBench {
			p := lab.NewPager(nil)
			return &adaptertest.ChannelBench{Notifier: p,
				Arm: func(adaptertest.ChannelFault) { p.SetRefuse(true) },
				Received: func() []adaptertest.Received {
					var out []adaptertest.Received
					for _, x := range p.Pages() {
						out = append(out, adaptertest.Received{Key: x.AttemptID.String(), To: x.To, Subject: x.Subject, Text: x.Text, Resolved: x.Resolved})
					}
					return out
				}}
		},
		Excuse: map[adaptertest.ChannelFault]string{adaptertest.MessageRefused: why, adaptertest.MessageLimited: why, adaptertest.MessageHangs: why,
			adaptertest.MessageLost: why, adaptertest.MessageDenied: why}})
}

var _ adapters.Notifier = (*lab.Pager)(nil)
