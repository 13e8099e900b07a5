//! Placeholder door of the room; its owner writes it.
