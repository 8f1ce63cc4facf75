"""The columnar engine: a plan executed over packed arrays of everybody's traits and events, with SQL's answers."""
