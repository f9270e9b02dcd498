# METADATA
# title: How a rule tells that it took part
# description: |
#   A rule that speaks puts a label into one of its question's sets (deny, ask, execute ...). The id and the title come
#   from the rule's own METADATA, so that they stand in one place and reach the approver.
package firebreak.rule

# label makes what a rule says: its id and title, and why in words.
label(meta, why) := {"id": meta.labels.id, "title": meta.title, "why": why}

# told gives a text of the input, or what to say where it is missing. It is always defined.
told(path, otherwise) := object.get(input, path, otherwise)

# words gives a duration for people.
words(seconds) := sprintf("%d h", [seconds / 3600]) if {
	seconds >= 3600
	seconds % 3600 == 0
}

else := sprintf("%d min", [seconds / 60]) if {
	seconds >= 60
	seconds % 60 == 0
}

else := sprintf("%d s", [seconds])
