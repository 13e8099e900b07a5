//! Virtual time over the planner.
