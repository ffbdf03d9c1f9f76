"""Where changes come from and go to: etcd v2 and v3, behind one protocol."""
