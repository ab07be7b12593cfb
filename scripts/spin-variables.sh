#!/bin/sh
# Prints the variables that the services need under `spin up`, as shell commands:
#
#     eval "$(scripts/spin-variables.sh)" && spin build && spin up
#
# The keys are new each time, so a token is good until the next start. The users are those of k8s/00-users.yml.
set -eu

users_file="$(dirname "$0")/../k8s/00-users.yml"

# `false` goes to the eval, so that what follows it with `&&` does not run.
fail() {
    echo "spin-variables: $1" >&2
    echo false
    exit 1
}

# Prints `export SPIN_VARIABLE_NAME='value'`. No value here has a single quote in it: PEM and bcrypt know none.
variable() {
    case $2 in
    '') fail "nothing was found for $1" ;;
    *\'*) fail "the value of $1 has a single quote in it" ;;
    esac
    printf "export SPIN_VARIABLE_%s='%s'\n" "$1" "$2"
}

# Prints a member of the Secret's stringData: what follows on its line, or the indented block below it.
member() {
    awk -v key="$1" '
        $1 == key ":" && $2 == "|" { block = 1; match($0, /^ */); indent = RLENGTH; next }
        $1 == key ":" { sub(/^[^:]*: */, ""); gsub(/^"|"$/, ""); print; exit }
        block && NF { match($0, /^ */); if (RLENGTH <= indent) exit; sub(/^ */, ""); print }
    ' "$users_file"
}

command -v openssl >/dev/null || fail "openssl is not installed, and it makes the keys (apt install openssl, brew install openssl)"
[ -r "$users_file" ] || fail "$users_file cannot be read, and it holds the users"

private_key=$(openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null) ||
    fail "this openssl makes no P-256 keys: $(openssl version)"
public_key=$(printf '%s\n' "$private_key" | openssl pkey -pubout)

variable JWT_PRIVATE_KEY "$private_key"
variable JWT_PUBLIC_KEY "$public_key"
variable AUTH_USERS "$(member htpasswd)"
variable AUTH_SCOPES "$(member scopes)"
