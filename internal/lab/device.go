package lab

import (
	"fmt"
)

// Beat is one call of the infected device for orders: it looks the controller's name up, connects to it through the
// firewall, and does what it is told. Without orders it does nothing.
func (n *Network) Beat() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.infected {
		return
	}
	device := hostNamed(Infected)
	if by := n.Firewall.Drops(n.c2.address, n.c2.domain); by != "" {
		n.refused++
		if !n.blocked {
			n.blocked = true
			n.tell(fmt.Sprintf("The firewall drops %s's call to %s: %s is on the list that it fetched.", Infected, n.c2.domain, by))
		}
		n.idle("waits for orders that do not come through", "The scan stops for want of orders.")
		return
	}
	if n.blocked {
		n.blocked = false
		n.tell(fmt.Sprintf("The block is gone: traffic to %s flows again.", n.c2.address))
	}
	if !n.c2.present {
		n.idle("calls a controller that is not there any more", "Nobody answers there: the scan stops for want of orders.")
		return
	}
	n.c2.asked++
	n.got++
	if n.got == 1 {
		n.tell(fmt.Sprintf("%s (%s, unmanaged) asks %s at %s for orders, and gets them: scan the neighbours.", Infected, device.Address,
			n.c2.domain, n.c2.address))
	}
	n.Sensor.Orders(device, n.c2.address, n.c2.domain)
	n.scan(device)
}

// scan goes over the neighbours once.
func (n *Network) scan(device Host) {
	n.scans++
	for _, h := range hosts {
		if h.Name != device.Name {
			n.states[h.Name] = "is being scanned"
			n.Sensor.Scan(device, h)
		}
	}
	n.states[device.Name] = "scans its neighbours on orders from " + n.c2.domain
	if !n.scanning {
		n.scanning = true
		n.tell(fmt.Sprintf("%s scans %d neighbours for open shares.", device.Name, len(hosts)-1))
	}
}

// idle is the device without orders.
func (n *Network) idle(state, told string) {
	for name := range n.states {
		n.states[name] = resting
	}
	n.states[Infected] = state
	if n.scanning {
		n.scanning = false
		n.tell(told)
	}
}

func hostNamed(name string) Host {
	for _, h := range hosts {
		if h.Name == name {
			return h
		}
	}
	return Host{}
}
