#!/bin/sh
# Starts one node with accounts whose secrets nobody has to make: for standalone and compose. The password of each role is
# made once, as the file <CREDENTIALS>/<role>/password; the service of that role needs to see no other.
#
# CREDENTIALS        a folder that stays
# CREDENTIALS_MODE   of the files: 600, or 444 where the services are other users and reach one folder each
# CONFIGURATION      of the server, which also reads NATS_LISTEN and NATS_MONITOR
# NATS_STORE_DIR     a folder on a real volume
# NATS_SERVER        the program, where it is not on PATH
set -eu
umask 077

for role in gateway handler provisioner; do
  file="$CREDENTIALS/$role/password"
  if [ ! -s "$file" ]; then
    mkdir -p "$CREDENTIALS/$role"
    # The server reads it as configuration: a letter first, and no character that means something there.
    echo "p$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >"$file.new"
    chmod "${CREDENTIALS_MODE:-600}" "$file.new"
    mv "$file.new" "$file"
  fi
  variable="NATS_$(echo "$role" | tr a-z A-Z)_PASSWORD"
  export "$variable=$(cat "$file")"
done

# Version 0.1.0 asked nobody who they were: all that it kept is in the account of the server itself.
streams="$NATS_STORE_DIR/jetstream"
if [ -d "$streams/\$G" ]; then
  if [ -e "$streams/EVEREST" ]; then
    echo "jobs in $streams/\$G are not moved: there are newer ones in $streams/EVEREST" >&2
  else
    mv "$streams/\$G" "$streams/EVEREST"
    echo "the jobs of version 0.1.0 are in the account EVEREST now" >&2
  fi
fi

export NATS_STORE_DIR="\"$NATS_STORE_DIR\"" # quoted: a path may hold a blank
exec "${NATS_SERVER:-nats-server}" -c "$CONFIGURATION"
