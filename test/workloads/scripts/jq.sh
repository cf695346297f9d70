echo '{"a":[1,2,{"b":"x"}],"n":null}' | jq -c ".a[2].b, (.a|length), keys"; jq -n "[range(5)]|add"
