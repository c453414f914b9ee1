# SPDX-License-Identifier: GPL-2.0-or-later
"""The library's settings of an account."""

from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2.address import split_host
from drivers.sip_pjsua2.route import Target
from drivers.sip_pjsua2.settings import FIRST_ACCOUNT, AccountSettings, Settings
from drivers.sip_pjsua2.transports import dscp

SESSION_EXPIRES: Final = 600
UNREGISTER_WAIT_MS: Final = 800
NAMED: Final = ";line="
"""The contact's parameter by which requests find their account again."""
_SRTP: Final = {
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}
_ALWAYS: Final = 2


def configuration(
    settings: AccountSettings, common: Settings, address: str, transport: int, route: Target | None
) -> pj.AccountConfig:
    """`address` is the local address that peers reach us at; `route` is where all requests go, once it is known."""
    config = pj.AccountConfig()
    config.mwiConfig.enabled = settings.mailbox
    over = "" if settings.transport == "udp" else f";transport={settings.transport}"
    if settings.server:
        name = settings.display_name.replace("\\", "\\\\").replace('"', '\\"')
        config.idUri = (
            f'"{name}" <sip:{settings.user}@{settings.server}>'
            if name
            else f"sip:{settings.user}@{settings.server}"
        )
        config.regConfig.registrarUri = f"sip:{settings.server}{over}"
        config.sipConfig.authCreds.append(
            pj.AuthCredInfo("digest", "*", settings.auth_user or settings.user, 0, settings.password)
        )
    else:
        config.idUri = f"sip:handset@{f'[{address}]' if ':' in address else address}"
    # The registrar's own address needs no route; over TCP and TLS everything goes there, by our one connection.
    if route is not None and (over or settings.outbound_proxy or str(route) != settings.server):
        # Of an outbound proxy the Route header tells; where there is none, nobody sees one.
        hidden = "" if settings.outbound_proxy else ";hide"
        config.sipConfig.proxies.append(f"sip:{route};lr{hidden}{over}")
    config.sipConfig.transportId = transport
    if settings.name != FIRST_ACCOUNT:
        config.sipConfig.contactUriParams = f"{NAMED}{settings.name}"
    _set_registration(config.regConfig, settings)
    _set_media(config, settings, common, address)
    _set_nat(config.natConfig, settings)
    # The calls are told by Endpoint, once the registrar knows.
    config.ipChangeConfig.reinviteFlags = 0
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_ALWAYS
    config.callConfig.timerSessExpiresSec = SESSION_EXPIRES
    return config


def _set_registration(config: Any, settings: AccountSettings) -> None:
    config.registerOnAdd = False
    config.disableRegOnModify = True
    config.timeoutSec = settings.expiry
    # registration.py does the retries; the library only refreshes: half-way, so that a lost refresh loses nothing.
    config.retryIntervalSec = 0
    config.firstRetryIntervalSec = 0
    config.delayBeforeRefreshSec = max(5, settings.expiry // 2)
    config.unregWaitMsec = UNREGISTER_WAIT_MS
    config.dropCallsOnFail = False


def _set_media(config: pj.AccountConfig, settings: AccountSettings, common: Settings, address: str) -> None:
    config.mediaConfig.srtpUse = _SRTP[settings.srtp]
    config.mediaConfig.srtpSecureSignaling = 0
    if ":" in address:
        config.mediaConfig.ipv6Use = pj.PJSUA_IPV6_ENABLED_USE_IPV6_ONLY
    else:
        # Otherwise the library looks for addresses of both families, and stands still where names cannot be asked for.
        config.sipConfig.ipv6Use = pj.PJSUA_IPV6_DISABLED
        config.mediaConfig.ipv6Use = pj.PJSUA_IPV6_DISABLED
    transport = config.mediaConfig.transportConfig
    transport.port = common.rtp_first
    transport.portRange = common.rtp_count
    transport.boundAddress = common.bind
    transport.publicAddress = address
    transport.qosParams = dscp(common.dscp_rtp)
    config.videoConfig.autoShowIncoming = False
    config.videoConfig.autoTransmitOutgoing = False


def _set_nat(config: Any, settings: AccountSettings) -> None:
    # What the registrar saw of us is what others are told, also where it is a private address.
    config.contactRewriteUse = _ALWAYS
    config.iceEnabled = settings.ice
    config.turnEnabled = bool(settings.turn)
    config.turnServer = settings.turn
    config.turnUserName = settings.turn_user
    config.turnPassword = settings.turn_password


def names_the_library_asks_for(common: Settings) -> list[str]:
    """Hosts that are not looked up here: a certificate is checked against the name."""
    secure = [account for account in common.accounts if account.transport == "tls" and account.server]
    return [split_host(server)[0] for one in secure for server in one.outbound_proxy or (one.server,)]
