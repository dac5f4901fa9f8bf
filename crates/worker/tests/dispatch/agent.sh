# An agent that speaks the Agent Client Protocol and does what its prompt says, one thing a turn.
# `SESSION` is the folder of its session file.

reply() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
say() {
  printf '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'
  printf '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%s"}}}}\n' "$1"
}
done_with() { reply "$1" '{"stopReason":"end_turn"}'; }

pending=
while IFS= read -r line; do
  id=${line#*\"id\":}
  id=${id%%,*}
  case $line in
  *'"method":"initialize"'*)
    reply "$id" '{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}' ;;
  *'"method":"session/new"'*) reply "$id" '{"sessionId":"s"}' ;;
  *'"method":"session/load"'*) reply "$id" '{}' ;;
  *'"method":"session/cancel"'*)
    if [ -n "$pending" ]; then reply "$pending" '{"stopReason":"cancelled"}'; fi
    pending= ;;
  *'"method":"session/prompt"'*)
    text=${line#*\"text\":\"}
    text=${text%%\"*}
    case $text in
    'write '*)
      echo "${text#write }" >"${text#write }"
      say "written"
      done_with "$id" ;;
    'remember '*)
      echo "${text#remember }" >>"$SESSION/words"
      say "noted"
      done_with "$id" ;;
    recall)
      say "$(tr '\n' ' ' <"$SESSION/words" 2>/dev/null)"
      done_with "$id" ;;
    'hang '*)
      echo "${text#hang }" >"${text#hang }"
      say "hanging"
      pending=$id ;;
    deaf)
      say "deaf"
      trap '' TERM
      while :; do sleep 1; done ;;
    'die '*)
      echo "${text#die }" >"${text#die }"
      say "dying"
      exit 3 ;;
    'flood') while :; do say "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; done ;;
    'garbage')
      printf '\377\376 no json\n{"jsonrpc":"2.0","method":7}\n[]\n\n'
      say "after the garbage"
      done_with "$id" ;;
    'wait '*)
      say "waiting"
      until [ -e "${text#wait }" ]; do sleep 0.02; done
      done_with "$id" ;;
    'leave')
      (while :; do sleep 1; done) >/dev/null 2>&1 &
      done_with "$id" ;;
    *)
      say "you said $text"
      done_with "$id" ;;
    esac ;;
  esac
done
