package redisbus

import (
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A number after which there is no next one would stop the pair for ever.
func TestRecordsHaveRoomForTheNext(t *testing.T) {
	record := map[string]string{"epoch": "9007199254740992", "version": "1", "phase": "steady", "active": "a:1", "passive": "b:1"}
	a, err := decodeAssignment(record)
	if err != nil || a.Epoch != cluster.MaxEpoch {
		t.Errorf("epoch %d, %v", a.Epoch, err)
	}
	for field, text := range map[string]string{"epoch": "9007199254740993", "version": "9223372036854775807"} {
		was := record[field]
		record[field] = text
		if a, err := decodeAssignment(record); err == nil {
			t.Errorf("%s %s is read: %+v", field, text, a.Order())
		}
		record[field] = was
	}
}

func TestARoleMovesBetweenTwoServers(t *testing.T) {
	record := map[string]string{"epoch": "2", "version": "1", "phase": "revoked", "from": "a:1", "to": "b:1"}
	if _, err := decodeAssignment(record); err != nil {
		t.Error(err)
	}
	record["to"] = "a:1"
	if a, err := decodeAssignment(record); err == nil {
		t.Errorf("read: %+v", a)
	}
}
