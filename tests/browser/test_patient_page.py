"""The patient's page in a real browser."""

from __future__ import annotations

import signal

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture
def patient(treat, replay):
    page = treat.context.new_page()
    page.goto(f"{replay.console.origin}/patient")
    page.wait_for_selector("body:not([data-phase=wait])")
    yield page
    page.close()


def guide(treat, view: str, *, numbers: bool, message: str = "") -> None:
    treat.bring_to_front()
    treat.click("#patient")
    treat.select_option("#patient-view", view)
    treat.set_checked("#patient-numbers", numbers)
    treat.fill("#patient-message", message)
    treat.click("#patient-dialog button[value=do]")


def test_the_patient_sees_no_number_unless_it_is_chosen(treat, patient):
    guide(treat, "target", numbers=False)
    expect(patient.locator("#count")).to_have_text("")
    guide(treat, "bar", numbers=True)
    patient.bring_to_front()
    expect(patient.locator("#count")).to_contain_text("mm")


def test_a_message_of_the_therapist_is_shown_and_logged(treat, patient):
    guide(treat, "target", numbers=False, message="Five more minutes")
    expect(treat.locator("#events")).to_contain_text("message to the patient: Five more minutes")
    patient.bring_to_front()
    expect(patient.locator("#message")).to_have_text("Five more minutes")


def test_the_patient_is_asked_to_wait_when_the_images_stop(patient, replay):
    patient.bring_to_front()
    replay.signal("source", signal.SIGSTOP)
    try:
        expect(patient.locator("#phase")).to_have_text("One moment, please")
    finally:
        replay.signal("source", signal.SIGCONT)
    patient.wait_for_selector("body:not([data-phase=wait])")
