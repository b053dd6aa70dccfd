/// The script `verifica.sh` of every bundle, the same in all of them: it does every step of `VERIFICA.txt` with a POSIX shell, openssl and
/// a few tools of every system, names what fails, and ends with 0 or 1.
enum VerificationScript {
  static var octets: [UInt8] { Array(text.utf8) }

  private static let text = #"""
    #!/bin/sh
    # Verifica di un estratto del registro di posta elettronica certificata, con soli strumenti comuni:
    # sh, openssl (1.1.1 o 3), sha256sum (o shasum), awk, sed, grep, find, sort, cmp. È uguale in tutti gli estratti.
    #
    #   sh verifica.sh [-c CA.pem] [-t CA-marche.pem] [CARTELLA]
    #
    # CARTELLA è quella dell'estratto (se manca, quella in cui sta questo file). CA.pem sono i certificati delle autorità di cui ci si
    # fida per la firma del gestore, CA-marche.pem per le marche temporali, avuti da altra fonte (per esempio dagli elenchi di AgID).
    # Senza di essi si usano quelli dell'estratto: allora vanno confrontate le impronte stampate alla fine.
    # Esce con 0 se tutto è in ordine, altrimenti con 1.
    set -u
    LC_ALL=C
    export LC_ALL
    unset OPENSSL_CONF SSL_CERT_FILE SSL_CERT_DIR

    guasti=0
    avvisi=0
    bene() { printf '  ok      %s\n' "$*"; }
    male() { printf '  ERRORE  %s\n' "$*"; guasti=$((guasti + 1)); }
    avviso() { printf '  AVVISO  %s\n' "$*"; avvisi=$((avvisi + 1)); }
    passo() { printf '\n%s\n' "$*"; }
    ferma() { printf '%s\n' "$*" >&2; exit 1; }
    assoluto() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }

    ca=''
    camarche=''
    qui=$(dirname -- "$0")
    while [ $# -gt 0 ]; do
      case $1 in
        -c) [ $# -gt 1 ] || ferma 'Dopo -c manca il file.'; ca=$(assoluto "$2"); shift 2 ;;
        -t) [ $# -gt 1 ] || ferma 'Dopo -t manca il file.'; camarche=$(assoluto "$2"); shift 2 ;;
        -*) ferma 'Uso: sh verifica.sh [-c CA.pem] [-t CA-marche.pem] [CARTELLA]' ;;
        *) qui=$1; shift ;;
      esac
    done
    for file in "$ca" "$camarche"; do
      [ -z "$file" ] || [ -r "$file" ] || ferma "Non si legge $file"
    done
    cd -- "$qui" || exit 1
    [ -f contenuto.txt ] || ferma "Manca contenuto.txt: questa non è la cartella di un estratto."
    for strumento in openssl awk sed grep find sort cmp mktemp; do
      command -v "$strumento" >/dev/null 2>&1 || ferma "Manca lo strumento $strumento."
    done
    if command -v sha256sum >/dev/null 2>&1; then
      sha() { sha256sum; }
    elif command -v shasum >/dev/null 2>&1; then
      sha() { shasum -a 256; }
    else
      sha() { openssl dgst -sha256 -r; }
    fi
    da_parte=$(mktemp -d) || exit 1
    trap 'rm -rf "$da_parte"' EXIT
    trap 'exit 1' HUP INT TERM

    impronta() { # di un file
      _i=$(sha <"$1") && printf '%s' "${_i%% *}"
    }
    campo() { # NOME FILE: un numero o un'impronta del manifesto
      sed -n "s/^.*[{,]\"$1\":\"\{0,1\}\([0-9a-f]*\).*\$/\1/p" "$2"
    }
    cifre() { # vero se è un numero di lunghezza sensata
      case $1 in '' | *[!0-9]* | ????????????????*) return 1 ;; esac
    }
    nome() { # vero se è un semplice nome di file
      case $1 in '' | .* | -* | *[!A-Za-z0-9._-]*) return 1 ;; esac
    }

    # Nessuna fiducia nelle autorità installate nel sistema: solo in quelle date.
    soli='-no-CApath'
    if openssl cms -help 2>&1 | grep -q -e '-no-CAstore'; then soli="$soli -no-CAstore"; fi

    firma() { # FILE.p7m CERTIFICATI ORA USCITA: verifica la firma e scrive il contenuto
      if [ -n "$ca" ]; then
        openssl cms -verify -binary -inform DER -in "$1" -CAfile "$ca" $soli -certfile "$2" -purpose any -attime "$3" \
          -signer "$da_parte/firmatario.pem" -certsout "$da_parte/dentro.pem" -out "$4" 2>"$da_parte/motivo"
      else
        openssl cms -verify -binary -inform DER -in "$1" -CAfile "$2" $soli -partial_chain -purpose any -attime "$3" \
          -signer "$da_parte/firmatario.pem" -certsout "$da_parte/dentro.pem" -out "$4" 2>"$da_parte/motivo"
      fi
    }
    in_righe() { # i certificati di un file, uno per riga
      awk '/-----BEGIN/ { c = ""; next } /-----END/ { print c; next } { c = c $0 }' "$1"
    }
    noti() { # CERTIFICATI: vero se ogni certificato che stava nella firma appena vista è tra questi
      in_righe "$1" >"$da_parte/noti"
      in_righe "$da_parte/dentro.pem" >"$da_parte/dentro"
      [ -s "$da_parte/dentro" ] && ! grep -q -v -x -F -f "$da_parte/noti" "$da_parte/dentro"
    }
    perche() { # le parole di openssl, in breve
      sed -n -e 's/^.*Verify error: *//p' -e 's/^.*[Vv]erify error:\(.*\)$/\1/p' -e 's/^[0-9A-F]*:error:[^:]*:[^:]*:\([^:]*\):.*$/\1/p' \
        -e 's/^.*Verification failure.*$/firma non valida/p' "$da_parte/motivo" | head -n 2 | tr '\n' ' '
    }
    chi() { # annota il firmatario appena visto
      openssl x509 -in "$da_parte/firmatario.pem" -noout -subject -nameopt utf8,sep_comma_plus 2>/dev/null >>"$da_parte/firmatari"
    }
    ora_della_firma() { # FILE.p7m: l'ora dichiarata nella firma, in secondi
      openssl cms -cmsout -print -inform DER -in "$1" -noout 2>/dev/null | grep -A 4 signingTime | sed -n 's/^.*UTCTIME: *//p' | head -n 1 |
        secondi
    }
    secondi() { # "Nov 21 09:44:26 2026 GMT" in secondi dal 1970
      awk '{
        m = (index("JanFebMarAprMayJunJulAugSepOctNovDec", $1) + 2) / 3; d = $2; split($3, t, ":"); y = $4
        if (m < 1 || y < 1970) exit
        if (m <= 2) { y--; m += 12 }
        g = 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + d - 1 - 719468
        printf "%d", g * 86400 + t[1] * 3600 + t[2] * 60 + int(t[3])
        exit
      }'
    }
    revoche() { # CARTELLA CERTIFICATI ORA: il firmatario appena visto era revocato?
      [ -d "$1" ] || { avviso "$1: nessuna lista di revoca"; return; }
      cat -- "${ca:-$2}" "$2" >"$da_parte/catena.pem"
      for lista in "$1"/*; do
        if grep -q -e '-----BEGIN X509 CRL-----' "$lista"; then
          cat -- "$lista" >>"$da_parte/catena.pem"
        else
          openssl crl -inform DER -in "$lista" >>"$da_parte/catena.pem" 2>/dev/null || avviso "$lista: non si legge"
        fi
      done
      _r=$(openssl verify -crl_check $soli -partial_chain -purpose any -attime "$3" -CAfile "$da_parte/catena.pem" \
        "$da_parte/firmatario.pem" 2>&1) && { bene "$1: il certificato del firmatario non era revocato"; return; }
      case $_r in
        *'certificate revoked'*) male "$1: il certificato del firmatario era revocato" ;;
        *)
          _r=$(printf '%s' "$_r" | sed -n 's/^error \([0-9]*\).*lookup: */\1 /p' | head -n 1)
          avviso "$1: la revoca non si è potuta controllare ($_r)"
          ;;
      esac
    }

    passo '1. Elenco dei file (contenuto.txt) e sua firma (contenuto.p7m)'
    if [ ! -f contenuto.p7m ]; then
      male 'contenuto.p7m: manca la firma dell'\''elenco'
    else
      quando=$(ora_della_firma contenuto.p7m)
      if firma contenuto.p7m certificati/gestore.pem "$(date +%s)" "$da_parte/contenuto"; then
        esito=0
      elif cifre "$quando" && firma contenuto.p7m certificati/gestore.pem "$quando" "$da_parte/contenuto"; then
        esito=0
        avviso "contenuto.p7m: il certificato del gestore oggi non vale più; valeva all'ora dichiarata nella firma"
      else
        esito=1
      fi
      if [ "$esito" -ne 0 ]; then
        male "contenuto.p7m: la firma non è valida: $(perche)"
      elif ! noti certificati/gestore.pem; then
        male 'contenuto.p7m: contiene un certificato che non è tra quelli di certificati/gestore.pem'
      elif cmp -s contenuto.txt "$da_parte/contenuto"; then
        bene 'la firma è valida ed è di questo elenco'
        chi
        cifre "$quando" && revoche certificati/revoche certificati/gestore.pem "$quando"
      else
        male 'contenuto.txt: non è l'\''elenco che è stato firmato'
      fi
    fi
    if grep -Evq '^[0-9a-f]{64}  [A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$' contenuto.txt; then
      male 'contenuto.txt: contiene righe che non sono impronta e nome di un file'
    fi
    sed 's/^.\{66\}//' contenuto.txt | sort >"$da_parte/elencati"
    [ -z "$(uniq -d "$da_parte/elencati")" ] || male 'contenuto.txt: un file è elencato due volte'
    numero=0
    while IFS=' ' read -r atteso file; do
      numero=$((numero + 1))
      if [ ! -f "$file" ] || [ -L "$file" ]; then
        male "$file: manca"
      elif [ "$(impronta "$file")" != "$atteso" ]; then
        male "$file: è stato cambiato"
      fi
    done <contenuto.txt
    find . ! -type d | sed 's|^\./||' | grep -v -x -e contenuto.txt -e contenuto.p7m | sort >"$da_parte/presenti"
    while IFS= read -r file; do
      grep -q -x -F -e "$file" "$da_parte/elencati" || male "$file: è in più, non è nell'elenco"
    done <"$da_parte/presenti"
    [ "$guasti" -ne 0 ] || bene "$numero file, tutti come nell'elenco e nessuno in più"

    verifica_marche() { # NUMERO DEL SIGILLO: le sue marche temporali, dalla più vecchia
      data=''
      sed -n "s/^marca: $1 //p" dati.txt >"$da_parte/marche"
      if [ ! -s "$da_parte/marche" ]; then
        avviso "$cartella: il sigillo non ha (ancora) una marca temporale: la data è solo quella dichiarata dal gestore"
        return
      fi
      fidate=${camarche:-$cartella/marche.pem}
      while read -r marca copre dichiarata autorita <&3; do
        if ! nome "$marca" || ! nome "$copre"; then
          male "dati.txt: nome di file inatteso nel sigillo $1"
          continue
        fi
        # Una marca vale finché vale il suo certificato, o fino all'ora della marca che la rinnova (RFC 4998).
        rinnovo=$(awk -v n="$marca" '$2 == n { print $3; exit }' "$da_parte/marche")
        cifre "$rinnovo" || rinnovo=$(date +%s)
        vera=$(openssl ts -reply -token_in -in "$cartella/$marca" -text 2>/dev/null | sed -n 's/^Time stamp: *//p' | secondi)
        [ -n "$data" ] || data=$vera
        if openssl ts -verify -token_in -in "$cartella/$marca" -data "$cartella/$copre" -CAfile "$fidate" -partial_chain \
          -attime "$rinnovo" >/dev/null 2>"$da_parte/motivo"; then
          :
        elif cifre "$vera" && openssl ts -verify -token_in -in "$cartella/$marca" -data "$cartella/$copre" -CAfile "$fidate" \
          -partial_chain -attime "$vera" >/dev/null 2>"$da_parte/motivo"; then
          avviso "$cartella/$marca: il certificato dell'autorità oggi non vale più; valeva all'ora della marca"
        else
          male "$cartella/$marca: la marca temporale non è valida per $copre: $(perche)"
          continue
        fi
        if [ "$vera" = "$dichiarata" ]; then
          bene "$cartella/$marca: data certa $(openssl ts -reply -token_in -in "$cartella/$marca" -text 2>/dev/null |
            sed -n 's/^Time stamp: *//p'), secondo$(printf ' %s' "$autorita")"
        else
          male "$cartella/$marca: non è dell'ora che l'estratto dichiara"
        fi
      done 3<"$da_parte/marche"
    }

    passo '2. Sigilli: firma del gestore e marca temporale'
    for cartella in sigilli/*; do
      [ -d "$cartella" ] || continue
      sigillo=${cartella#sigilli/}
      for file in manifesto.json sigillo.p7m certificati.pem; do
        [ -f "$cartella/$file" ] || male "$cartella/$file: manca"
      done
      if ! cifre "$sigillo" || [ "$(campo seal "$cartella/manifesto.json")" != "$sigillo" ]; then
        male "$cartella/manifesto.json: non è il manifesto del sigillo $sigillo"
        continue
      fi
      verifica_marche "$sigillo"
      cifre "$data" || data=$(campo madeUtc "$cartella/manifesto.json")
      if firma "$cartella/sigillo.p7m" "$cartella/certificati.pem" "$data" "$da_parte/manifesto"; then
        if cmp -s "$cartella/manifesto.json" "$da_parte/manifesto"; then
          bene "$cartella: la firma è valida, righe $(campo first "$cartella/manifesto.json")-$(campo last "$cartella/manifesto.json")"
          chi
          revoche "$cartella/revoche" "$cartella/certificati.pem" "$data"
        else
          male "$cartella/manifesto.json: non è il manifesto che è stato firmato"
        fi
      else
        male "$cartella/sigillo.p7m: la firma non è valida: $(perche)"
      fi
      prima=sigilli/$((sigillo - 1))/manifesto.json
      if [ -f "$prima" ] && [ "$(impronta "$prima")" != "$(campo previous "$cartella/manifesto.json")" ]; then
        male "$cartella/manifesto.json: non segue il sigillo $((sigillo - 1))"
      fi
    done

    # Il testo di 32 byte scritto come \ooo, da un'impronta in esadecimale: senza altri processi.
    ottale() {
      _o=''
      _e=$1
      while [ -n "$_e" ]; do
        _c=${_e#??}
        _b=$((0x${_e%"$_c"}))
        _o="$_o\\$((_b / 64))$((_b / 8 % 8))$((_b % 8))"
        _e=$_c
      done
    }
    nodo() { # SINISTRA DESTRA: h = SHA-256(01 sinistra destra)
      ottale "$1$2"
      h=$(printf "\\001$_o" | sha)
      h=${h%% *}
    }
    impronta_valida() { case $1 in *[!0-9a-f]*) return 1 ;; esac; [ ${#1} -eq 64 ]; }

    comincia() { # la riga e il suo posto nell'albero
      riga=$1 sigillo=$2 posto=$3 larghezza=$4 rotta=0
      manifesto=sigilli/$sigillo/manifesto.json
      if ! cifre "$riga" || ! cifre "$sigillo" || ! cifre "$posto" || ! cifre "$larghezza"; then
        male 'prove.txt: contiene righe inattese'
        riga='' rotta=1
        return
      fi
      righe=$((righe + 1))
      if [ "$riga" -le "$ultima" ]; then male "riga $riga: fuori posto in prove.txt"; fi
      ultima=$riga
      if [ ! -f "eventi/$riga.json" ]; then male "riga $riga: manca eventi/$riga.json"; rotta=1; return; fi
      cat "eventi/$riga.json" >>"$da_parte/righe"
      echo >>"$da_parte/righe"
      testo=''
      IFS= read -r testo <"eventi/$riga.json" || :
      case $testo in
        '{"v":1,"number":'"$riga"',"'*) ;;
        *) male "riga $riga: eventi/$riga.json è di un'altra riga"; rotta=1; return ;;
      esac
      if [ ! -f "$manifesto" ]; then male "riga $riga: manca il sigillo $sigillo"; rotta=1; return; fi
      prima=$(campo first "$manifesto")
      dopo=$(campo last "$manifesto")
      if ! cifre "$prima" || ! cifre "$dopo" || [ "$posto" -ne $((riga - prima)) ] || [ "$larghezza" -ne $((dopo - prima + 1)) ] ||
        [ "$posto" -ge "$larghezza" ]; then
        male "riga $riga: il suo posto in prove.txt non è quello che ha nel sigillo $sigillo"
        rotta=1
        return
      fi
      h=$({ printf '\000'; cat "eventi/$riga.json"; } | sha)
      h=${h%% *}
    }
    sali() { # un gradino: LATO IMPRONTA
      [ "$rotta" -eq 0 ] || return
      if ! impronta_valida "$2"; then male "riga $riga: prove.txt contiene righe inattese"; rotta=1; return; fi
      # L'ultimo nodo di un livello dispari non ha fratello e sale com'è.
      while [ "$larghezza" -gt 1 ] && [ $((posto % 2)) -eq 0 ] && [ $((posto + 1)) -ge "$larghezza" ]; do
        posto=$((posto / 2)) larghezza=$(((larghezza + 1) / 2))
      done
      if [ "$larghezza" -le 1 ]; then male "riga $riga: il cammino è troppo lungo"; rotta=1; return; fi
      if [ "$1" = L ] && [ $((posto % 2)) -eq 1 ]; then
        nodo "$2" "$h"
      elif [ "$1" = R ] && [ $((posto % 2)) -eq 0 ]; then
        nodo "$h" "$2"
      else
        male "riga $riga: il cammino è di un'altra riga"
        rotta=1
      fi
      posto=$((posto / 2)) larghezza=$(((larghezza + 1) / 2))
    }
    arriva() { # in cima: l'impronta deve essere quella firmata
      [ -n "$riga" ] && [ "$rotta" -eq 0 ] || return
      while [ "$larghezza" -gt 1 ] && [ $((posto % 2)) -eq 0 ] && [ $((posto + 1)) -ge "$larghezza" ]; do
        posto=$((posto / 2)) larghezza=$(((larghezza + 1) / 2))
      done
      if [ "$larghezza" -gt 1 ] || [ "$h" != "$(campo root "$manifesto")" ]; then
        male "riga $riga: non porta all'impronta del sigillo $sigillo"
      else
        provate=$((provate + 1))
      fi
    }

    passo '3. Righe: ciascuna porta all'\''impronta del suo sigillo'
    righe=0 provate=0 ultima=0 riga='' rotta=0
    : >"$da_parte/righe"
    while read -r a b c d e f g i resto; do
      case "$a $c $e $g $resto" in
        'row seal index of ') arriva; comincia "$b" "$d" "$f" "$i" ;;
        'L    ' | 'R    ') sali "$a" "$b" ;;
        *) male 'prove.txt: contiene righe inattese' ;;
      esac
    done <prove.txt
    arriva
    cmp -s eventi.jsonl "$da_parte/righe" || male 'eventi.jsonl: non contiene le stesse righe della cartella eventi, nello stesso ordine'
    file=0
    for uno in eventi/*; do [ -f "$uno" ] && file=$((file + 1)); done
    [ "$file" -eq "$righe" ] || male "eventi: $file file, ma $righe righe in prove.txt"
    [ "$provate" -ne "$righe" ] || bene "$righe righe, tutte provate"

    passo '4. Di chi ci si fida'
    sort -u "$da_parte/firmatari" 2>/dev/null | sed 's/^subject= */  firmato da: /'
    elenca() { # le impronte dei certificati di un file
      awk -v d="$da_parte/uno." '
        /-----BEGIN CERTIFICATE-----/ { n++; f = d n }
        f { print > f }
        /-----END CERTIFICATE-----/ { close(f); f = "" }' "$1"
      for uno in "$da_parte"/uno.*; do
        [ -f "$uno" ] || continue
        openssl x509 -in "$uno" -noout -subject -nameopt utf8,sep_comma_plus -fingerprint -sha256 2>/dev/null | sed 's/^/    /'
        rm -f "$uno"
      done
    }
    if [ -n "$ca" ]; then
      echo '  Le firme sono state verificate con le autorità date con -c.'
    else
      echo '  Le firme sono state verificate con i certificati che stanno nell'\''estratto. Chi non si fida li confronti'
      echo '  (impronte SHA-256) con quelli pubblicati da AgID, o li dia con -c:'
      for file in certificati/gestore.pem sigilli/*/certificati.pem; do [ -f "$file" ] && elenca "$file"; done | awk '!v[$0]++'
    fi
    if [ -n "$camarche" ]; then
      echo '  Le marche temporali sono state verificate con le autorità date con -t.'
    else
      for file in sigilli/*/marche.pem; do [ -f "$file" ] && elenca "$file"; done | awk '!v[$0]++' >"$da_parte/autorita"
      if [ -s "$da_parte/autorita" ]; then
        echo '  Lo stesso per le marche temporali (-t):'
        cat "$da_parte/autorita"
      fi
    fi

    echo
    if [ "$guasti" -eq 0 ]; then
      if [ "$avvisi" -eq 0 ]; then echo 'VERIFICA RIUSCITA.'; else echo "VERIFICA RIUSCITA, con $avvisi avvisi."; fi
      exit 0
    fi
    echo "VERIFICA NON RIUSCITA: $guasti errori."
    exit 1

    """#
}
