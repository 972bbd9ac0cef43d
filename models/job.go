package models

import (
	"errors"
	"slices"
	"time"
)

// JobKind says what a job does.
type JobKind string

// The two kinds.
const (
	JobCodes        JobKind = "codes"        // makes a template's codes
	JobDistribution JobKind = "distribution" // gives coupons to an audience
)

// JobState says where a job is in its life.
//
//	queued → running                    its first task is begun
//	queued, running ⇄ paused            its owner
//	queued, running → done, failed      its last task is ended; failed if one was given up
//	queued, running, paused → cancelled its owner; for ever
type JobState string

// The six states.
const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobPaused    JobState = "paused"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// JobAction is a step between states that a job's owner takes.
type JobAction string

// The three steps.
const (
	JobPause  JobAction = "pause"
	JobResume JobAction = "resume"
	JobCancel JobAction = "cancel"
)

// Leaves reports whether the step leads out of the given state.
func (a JobAction) Leaves(s JobState) bool {
	open := s == JobQueued || s == JobRunning
	switch a {
	case JobPause:
		return open
	case JobResume:
		return s == JobPaused
	case JobCancel:
		return open || s == JobPaused
	}
	return false
}

// Arrived lists the states in which there is nothing left for the step to do;
// the first is the one that it leads to.
func (a JobAction) Arrived() []JobState {
	switch a {
	case JobPause:
		return []JobState{JobPaused}
	case JobResume:
		return []JobState{JobRunning, JobQueued}
	case JobCancel:
		return []JobState{JobCancelled}
	}
	return nil
}

// Job is long work that goes on when its request is answered, in tasks. Done
// counts the units that were dealt with, Failed those of them that came to
// nothing; Failed ≤ Done ≤ Total.
type Job struct {
	ID         ID
	Kind       JobKind
	MerchantID string
	State      JobState
	Total      int64
	Done       int64
	Failed     int64
	Rate       *int64 // units a second; nil: no limit
	Error      string // why it failed
	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt *time.Time
}

// Finished reports whether the job is over, one way or another.
func (j *Job) Finished() bool {
	return slices.Contains([]JobState{JobDone, JobFailed, JobCancelled}, j.State)
}

// Task is a part of a job, as a worker leased it. Token tells this lease from
// all others of the task.
type Task struct {
	JobID      ID
	Kind       JobKind
	MerchantID string
	Seq        int64
	Units      int64
	Args       []byte // what to do, as the kind wrote it
	Token      int64
	Attempts   int64 // made before this one
}

// NewTask is a part of a job that is being made.
type NewTask struct {
	Units int64
	Args  []byte
}

// ErrLeaseLost says that a task is not its worker's to end any more: it was
// leased to another, its job was paused or cancelled, or it is ended already.
// Nothing was changed.
var ErrLeaseLost = errors.New("the task is not this worker's any more")
