"""What the promise is worth while the ground gives way: full disks, frozen and parted nodes, versions, clocks."""
