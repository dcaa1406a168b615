# A repository's life inside the file system: mapped packs, renames, hard links.
set -euo pipefail
export HOME=$OUTSIDE GIT_CONFIG_NOSYSTEM=1
git config --global user.name tester
git config --global user.email tester@localhost
git config --global init.defaultBranch main
git config --global maintenance.auto false

git init -q origin
cd origin
for commit in 1 2 3 4 5; do
    for file in $(seq 1 40); do
        printf '%s\n' "commit $commit" "file $file" "$RANDOM" >> "file-$file"
    done
    git add -A
    git commit -qm "commit $commit"
done
git gc -q --prune=now
git fsck --strict --no-progress
cd ..

git clone -q origin linked
git clone -q --no-hardlinks origin copied
git clone -q "file://$PWD/origin" packed
for clone in linked copied packed; do
    git -C "$clone" fsck --strict --no-progress
    git -C "$clone" status --porcelain | (! grep .)
    test "$(git -C "$clone" rev-parse HEAD)" = "$(git -C origin rev-parse HEAD)"
done
cd linked
git checkout -qb branch
git mv file-1 renamed
git commit -qam rename
git worktree add -q ../worktree main
git merge -q --no-edit main
git gc -q --aggressive --prune=now
git fsck --strict --no-progress
cd ..
rm -rf origin linked copied packed worktree
