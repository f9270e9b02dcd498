package console

import (
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// judgement is what a page expects the door to say to this reader. The door alone decides.
type judgement struct {
	may bool
	why string
}

// judge tells a reader beforehand whether a question is theirs, so that they are not offered what will be refused.
func (k *call) judge(r threat.Request) (judgement, error) {
	if r.State != threat.RequestOpen {
		return judgement{why: "it is no longer open"}, nil
	}
	if !k.may("request.decide", r.TenantID) {
		return judgement{why: "your role here only reads"}, nil
	}
	if r.Approvers.FourEyes && r.AskedBy == k.caller.Actor() {
		return judgement{why: "you asked for it yourself, and a second person is needed"}, nil
	}
	if v, ok := voteOf(r, k.caller.PersonID.UUID); ok {
		return judgement{why: "you have " + verdictWords(v.Verdict) + " already"}, nil
	}
	roles, err := k.roles(r.TenantID)
	if err != nil {
		return judgement{}, err
	}
	why := "it takes " + approversWords(r.Approvers)
	for _, role := range roles {
		if !slices.Contains(r.Approvers.Roles, role) {
			continue
		}
		if role != threat.Contact {
			return judgement{true, "as " + roleWords(role)}, nil
		}
		e, listed, err := k.contactEntry(r.TenantID)
		switch {
		case err != nil:
			return judgement{}, err
		case !listed:
			why = "you are not on this customer's list of authorised contacts"
		case !e.MayAuthorise(r.Body.Verb):
			why = "you are a contact here, but may not authorise this kind of action"
		default:
			return judgement{true, "as " + roleWords(role)}, nil
		}
	}
	return judgement{why: why}, nil
}

// contactEntry finds the caller on a tenant's list of contacts.
func (k *call) contactEntry(tenant uuid.UUID) (threat.ContactEntry, bool, error) {
	list, err := k.contacts(tenant)
	if err != nil {
		return threat.ContactEntry{}, false, err
	}
	i := slices.IndexFunc(list, func(e threat.ContactEntry) bool {
		return k.caller.PersonID.Valid && e.PersonID == k.caller.PersonID.UUID
	})
	if i < 0 {
		return threat.ContactEntry{}, false, nil
	}
	return list[i], true, nil
}

// voteOf finds a person's deciding vote. A question for more decides nothing.
func voteOf(r threat.Request, person uuid.UUID) (threat.Vote, bool) {
	for _, v := range r.Votes {
		if v.PersonID == person && v.Verdict != threat.VerdictMore {
			return v, true
		}
	}
	return threat.Vote{}, false
}

// approvals counts the distinct people who said yes.
func approvals(r threat.Request) int {
	var people []uuid.UUID
	for _, v := range r.Votes {
		yes := v.Verdict == threat.VerdictApprove || v.Verdict == threat.VerdictNarrow
		if yes && !slices.Contains(people, v.PersonID) {
			people = append(people, v.PersonID)
		}
	}
	return len(people)
}
