"""Graph -> Plan: order, memory, argument structs, plan files."""
