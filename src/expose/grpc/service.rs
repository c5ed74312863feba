//! The methods.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Request, Response, Status};

use super::watch::{self, Told, Watchers};
use super::{fields, score, v1};
use crate::expose::api::Api;
use crate::expose::api::params::Params;

/// What a method gives.
type Answer<T> = Result<Response<T>, Status>;

pub(super) struct Service {
    api: Arc<Api>,
    watchers: Arc<Watchers>,
}

impl Service {
    pub(super) fn new(api: Arc<Api>, watchers: Arc<Watchers>) -> Self {
        Self { api, watchers }
    }

    /// What the endpoint of this name answers: JSON.
    async fn json<Q: Serialize>(&self, name: &str, request: Request<Q>) -> Result<Vec<u8>, Status> {
        let endpoint = fields::endpoint(name)
            .ok_or_else(|| Status::internal(format!("BUG: no endpoint {name}")))?;
        let (path, query) = fields::given(endpoint, request.get_ref())?;
        Ok(self.api.answer(endpoint, &path, &query).await?)
    }

    /// Has the act of this name done.
    async fn act<Q: Serialize, A: DeserializeOwned>(
        &self,
        name: &str,
        request: Request<Q>,
    ) -> Answer<A> {
        let act =
            fields::act(name).ok_or_else(|| Status::internal(format!("BUG: no act {name}")))?;
        let (path, body) = fields::body(act, request.get_ref())?;
        let params = Params::check(act.params, &path, &[])?;
        let done = self.api.in_turn(move |api| (act.act)(api, &params, body));
        Ok(Response::new(fields::message(&done.await?)?))
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        name: &str,
        request: Request<Q>,
    ) -> Answer<A> {
        let json = self.json(name, request).await?;
        Ok(Response::new(fields::message(&json)?))
    }
}

#[tonic::async_trait]
impl v1::saimon_server::Saimon for Service {
    async fn list_anomalies(
        &self,
        request: Request<v1::ListAnomaliesRequest>,
    ) -> Answer<v1::ListAnomaliesResponse> {
        self.ask("listAnomalies", request).await
    }

    async fn count_anomalies(
        &self,
        request: Request<v1::CountAnomaliesRequest>,
    ) -> Answer<v1::CountAnomaliesResponse> {
        self.ask("countAnomalies", request).await
    }

    async fn timeline_of_anomalies(
        &self,
        request: Request<v1::TimelineOfAnomaliesRequest>,
    ) -> Answer<v1::TimelineOfAnomaliesResponse> {
        self.ask("timelineOfAnomalies", request).await
    }

    async fn get_anomaly(&self, request: Request<v1::GetAnomalyRequest>) -> Answer<v1::Anomaly> {
        self.ask("getAnomaly", request).await
    }

    type WatchAnomaliesStream = Told;

    async fn watch_anomalies(&self, request: Request<v1::WatchAnomaliesRequest>) -> Answer<Told> {
        let told = watch::begin(&self.api, &self.watchers, request.into_inner())?;
        Ok(Response::new(told))
    }

    async fn list_series(
        &self,
        request: Request<v1::ListSeriesRequest>,
    ) -> Answer<v1::ListSeriesResponse> {
        self.ask("listSeries", request).await
    }

    async fn get_series(&self, request: Request<v1::GetSeriesRequest>) -> Answer<v1::Series> {
        self.ask("getSeries", request).await
    }

    async fn get_window(
        &self,
        request: Request<v1::GetWindowRequest>,
    ) -> Answer<v1::GetWindowResponse> {
        self.ask("getWindow", request).await
    }

    async fn explain_sample(
        &self,
        request: Request<v1::ExplainSampleRequest>,
    ) -> Answer<v1::Explanation> {
        self.ask("explainSample", request).await
    }

    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Answer<v1::ListModelsResponse> {
        self.ask("listModels", request).await
    }

    async fn score_series(
        &self,
        request: Request<v1::ScoreSeriesRequest>,
    ) -> Answer<v1::ScoreSeriesResponse> {
        let request = request.into_inner();
        let scored = self
            .api
            .in_turn(move |api| score::score(api.rules(), &request));
        Ok(Response::new(scored.await?))
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Answer<v1::ListIncidentsResponse> {
        self.ask("listIncidents", request).await
    }

    async fn get_incident(
        &self,
        request: Request<v1::GetIncidentRequest>,
    ) -> Answer<v1::IncidentDetail> {
        self.ask("getIncident", request).await
    }

    async fn get_model(&self, request: Request<v1::GetModelRequest>) -> Answer<v1::Model> {
        self.ask("getModel", request).await
    }

    async fn list_training_jobs(
        &self,
        request: Request<v1::ListTrainingJobsRequest>,
    ) -> Answer<v1::ListTrainingJobsResponse> {
        self.ask("listTrainingJobs", request).await
    }

    async fn retrain_model(&self, request: Request<v1::RetrainModelRequest>) -> Answer<v1::Model> {
        self.ask("retrainModel", request).await
    }

    async fn roll_back_model(
        &self,
        request: Request<v1::RollBackModelRequest>,
    ) -> Answer<v1::Model> {
        self.ask("rollBackModel", request).await
    }

    async fn pin_model(&self, request: Request<v1::PinModelRequest>) -> Answer<v1::Model> {
        self.ask("pinModel", request).await
    }

    async fn unpin_model(&self, request: Request<v1::UnpinModelRequest>) -> Answer<v1::Model> {
        self.ask("unpinModel", request).await
    }

    async fn reset_model(&self, request: Request<v1::ResetModelRequest>) -> Answer<v1::Model> {
        self.ask("resetModel", request).await
    }

    async fn get_feedback(&self, request: Request<v1::GetFeedbackRequest>) -> Answer<v1::Feedback> {
        self.ask("getFeedback", request).await
    }

    async fn list_feedback(
        &self,
        request: Request<v1::ListFeedbackRequest>,
    ) -> Answer<v1::ListFeedbackResponse> {
        self.ask("listFeedback", request).await
    }

    async fn list_windows(
        &self,
        request: Request<v1::ListWindowsRequest>,
    ) -> Answer<v1::ListWindowsResponse> {
        self.ask("listWindows", request).await
    }

    async fn get_maintenance(
        &self,
        request: Request<v1::GetMaintenanceRequest>,
    ) -> Answer<v1::MaintenanceWindow> {
        self.ask("getMaintenance", request).await
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Answer<v1::ListChangesResponse> {
        self.ask("listChanges", request).await
    }

    async fn give_feedback(
        &self,
        request: Request<v1::GiveFeedbackRequest>,
    ) -> Answer<v1::Feedback> {
        self.act("giveFeedback", request).await
    }

    async fn undo_feedback(
        &self,
        request: Request<v1::UndoFeedbackRequest>,
    ) -> Answer<v1::Feedback> {
        self.act("undoFeedback", request).await
    }

    async fn add_window(
        &self,
        request: Request<v1::AddWindowRequest>,
    ) -> Answer<v1::MaintenanceWindow> {
        self.act("addWindow", request).await
    }

    async fn end_window(
        &self,
        request: Request<v1::EndWindowRequest>,
    ) -> Answer<v1::MaintenanceWindow> {
        self.act("endWindow", request).await
    }

    async fn say_change(&self, request: Request<v1::SayChangeRequest>) -> Answer<v1::TargetChange> {
        self.act("sayChange", request).await
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Answer<v1::ListGroupsResponse> {
        self.ask("listGroups", request).await
    }

    async fn get_status(&self, request: Request<v1::GetStatusRequest>) -> Answer<v1::Status> {
        self.ask("getStatus", request).await
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Answer<v1::GetConfigResponse> {
        let json = self.json("getConfig", request).await?;
        let json = String::from_utf8(json).map_err(|e| Status::internal(e.to_string()))?;
        Ok(Response::new(v1::GetConfigResponse { json }))
    }
}
